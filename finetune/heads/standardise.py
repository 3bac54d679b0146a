"""The training images' statistics, which the head takes off its inputs."""

import torch

from finetune.heads.examples import Examples
from m3agiqa.head.model import Head


def standardise(head: Head, examples: Examples) -> None:
    """Give the head the statistics of the images that it learns from, as far as it wants them.

    An image's statistics vary much less over images than states over tokens: each has a scale of its own.
    """
    with torch.no_grad():
        if "states" in head.standardise:
            for name, moments in (("token", examples.tokens), ("image", examples.images)):
                getattr(head, f"{name}_mean").copy_(moments.mean)
                getattr(head, f"{name}_scale").copy_(1 / moments.scale)
        if "mos" in head.standardise:
            mos = examples.mos.cpu().double()
            head.mos_mean.copy_(mos.mean())
            head.mos_scale.copy_(mos.std(correction=0).clamp(min=1e-6))
