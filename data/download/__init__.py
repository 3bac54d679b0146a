"""Bringing a data set here: where it comes from, how it travels, what is in its archives."""
