"""Mean and spread of many rows, which come a few at a time."""

import torch
from torch import Tensor


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
