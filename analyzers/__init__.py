"""Who looks at an image and says what it sees: the teachers, and the local multimodal language model."""
