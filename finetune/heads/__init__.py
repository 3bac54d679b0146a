"""Training a head on cached hidden states."""
