"""How a data set is split, as params.yaml has it."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field, PositiveInt

from m3agiqa.strict import Strict

IPCE = 10  # how many test lists there are under `ipce-k`
Share = Annotated[float, Field(gt=0, lt=1)]


class Split(Strict):
    """Its fields are explained in params.yaml, the protocols in data/splitting/protocols.py."""

    protocol: Literal["prompt-disjoint", "random", "published", "ipce-k", "k-fold"]
    seed: int
    val: Share
    test: Share
    folds: Annotated[int, Field(ge=2)]
    fold: PositiveInt
    on: str | None = None

    @pydantic.model_validator(mode="after")
    def _fold_exists(self) -> "Split":
        highest = {"k-fold": self.folds, "ipce-k": IPCE}.get(self.protocol, self.fold)
        if self.fold > highest:
            raise ValueError(f"fold is {self.fold}, and {self.protocol} has {highest} folds, counted from 1")
        return self

    @pydantic.model_validator(mode="after")
    def _something_is_left(self) -> "Split":
        tested = {"k-fold": 1 / self.folds, "prompt-disjoint": self.test, "random": self.test}.get(self.protocol, 0)
        if self.val + tested >= 1:
            raise ValueError(
                f"val {self.val:g} and the {tested:g} that {self.protocol} tests leave nothing to train on"
            )
        return self
