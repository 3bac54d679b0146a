"""From hidden states to a score: the heads, their stacks, saving and loading."""
