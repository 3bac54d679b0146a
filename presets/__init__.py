"""Experiments under one name: sets of params, and what they need."""
