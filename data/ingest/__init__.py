"""From label files and images to samples: found, read strictly, checked, on one scale."""
