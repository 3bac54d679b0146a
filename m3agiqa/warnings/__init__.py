"""Why a score is not to be trusted: an image, or a prompt, that is unlike those of the training."""
