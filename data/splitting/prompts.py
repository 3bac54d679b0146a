"""Which images belong to one prompt: they show the same things, and are no independent evidence.

Prompts that differ only in case, spacing or Unicode form are one prompt; an image without a prompt is a group of
its own.
"""

import unicodedata

import pandas as pd


def prompt_groups(samples: pd.DataFrame) -> pd.Series:
    """The name of each image's group: its normalised prompt, or, without one, the image itself."""
    prompts = samples["prompt"].map(_normalised)
    return ("prompt " + prompts).where(prompts != "", "image " + samples["image_id"])


def _normalised(prompt: str) -> str:
    """NFKC, casefolded, single spaces. Casefolding can undo NFKC, so it is applied once more."""
    folded = unicodedata.normalize("NFKC", prompt).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
