"""How good is it: agreement with people, its intervals and ceilings, simpler predictors, comparisons."""
