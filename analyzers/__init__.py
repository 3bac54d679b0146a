"""The teachers, who look at an image and explain it, and the journal, limits and prices around the paid ones."""
