"""The training images' statistics, which the head takes off its inputs: in one pass over the states, on its device."""

import torch
from torch import Tensor

from data.feature_store.store import FeatureStore
from m3agiqa.head.model import Head, statistics


def standardise(head: Head, store: FeatureStore, scores: dict[str, float]) -> None:
    """Give the head, where it lies, the training images' statistics, in one pass over their states.

    An image's statistics vary much less over images than states over tokens: each has a scale of its own.
    """
    mos = torch.tensor(list(scores.values()), dtype=torch.float64)
    device = head.mos_mean.device if head.mos_mean.is_cuda else "cpu"  # Apple's GPUs have no float64
    over_tokens, over_images = Moments(), Moments()
    for images in store.batches(list(scores), 4, pin=head.mos_mean.is_cuda):
        states, mask, description = images.to(device).tensors
        states = states.double()  # (B, T, D)
        over_tokens.add(states[mask])
        over_images.add(statistics(states, mask, description))
    with torch.no_grad():
        for name, moments in (("token", over_tokens), ("image", over_images)):
            getattr(head, f"{name}_mean").copy_(moments.mean)
            getattr(head, f"{name}_scale").copy_(1 / moments.scale)
        head.mos_mean.copy_(mos.mean())
        head.mos_scale.copy_(mos.std(correction=0).clamp(min=1e-6))


class Moments:
    """Mean and spread of the columns of all rows so far: Chan, Golub & LeVeque 1983, eq. 2.1."""

    count = 0
    mean = torch.zeros(())  # (D,) from the first rows on, float64
    squares = torch.zeros(())  # (D,): summed squared distances from the mean

    def add(self, rows: Tensor) -> None:
        """(N, D), float64."""
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        both = self.count + len(rows)
        apart = mean - self.mean
        self.mean = self.mean + apart * len(rows) / both
        self.squares = self.squares + variance * len(rows) + apart.square() * self.count * len(rows) / both
        self.count = both

    @property
    def scale(self) -> Tensor:
        """(D,): the standard deviation; 1 where the column is constant up to rounding."""
        variance, mean = self.squares / self.count, self.mean
        rounding = (self.count * torch.finfo(torch.float64).eps * mean).square()
        return torch.where(variance <= rounding, 1.0, variance.sqrt())
