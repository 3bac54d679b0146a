"""A local MLLM as params.yaml and the cards describe it: which weights, and how much they may read and write."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, PositiveFloat, PositiveInt

from m3agiqa.strict import Strict


class Profile(Strict):
    """What a model is loaded by."""

    model: str  # a hub id, or a folder
    revision: str | None = None  # a commit of the hub id; a folder has none
    dtype: Literal["float32", "bfloat16"]  # float16's hidden states overflow
    max_length: PositiveInt  # tokens of a sequence, image included
    max_new_tokens: PositiveInt  # of a description, for each aspect that it is about
    fewer_views: Sequence[dict[str, Any]] = ()  # of the image processor, for a sequence that does not fit
    adapter: str | None = None  # a hub id or a folder: where distillation starts from, or, without any, all of it
    adapter_revision: str | None = None


class Lora(Strict):
    """The LoRA matrices that distillation trains (Hu et al. 2021, arXiv 2106.09685)."""

    r: PositiveInt
    alpha: PositiveFloat
    dropout: Annotated[float, Field(ge=0, lt=1)]
    targets: str | list[str]  # a regular expression for a module's whole name, or a list of name endings
    modules_to_save: list[str]  # trained in full

    @pydantic.field_validator("targets")
    @classmethod
    def _compiles(cls, targets: str | list[str]) -> str | list[str]:
        if isinstance(targets, str):
            try:
                re.compile(targets)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from None
        return targets
