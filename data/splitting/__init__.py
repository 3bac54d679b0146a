"""Which images are train, val and test, and which belong to one prompt."""
