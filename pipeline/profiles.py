"""The sections of params.yaml, where each knob has its reason; pipeline/settings.py puts them together.

Data sets have a module of their own, pipeline/data_sets.py.
"""

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field, PositiveFloat, PositiveInt

from m3agiqa.aspects import Aspect
from m3agiqa.head.sizes import check_mamba, check_transformer, check_xlstm
from m3agiqa.mllm.profile import Lora, Profile
from m3agiqa.strict import Strict

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class OfflineTeacher(Strict):
    kind: Literal["offline"]


class Prices(Strict):
    """USD a million tokens, as they were on `date`."""

    date: dt.date
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class GeminiTeacher(Strict):
    kind: Literal["gemini"]
    sdk: Literal["google-generativeai", "google-genai"]
    model: str
    show_mos: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_output_tokens: PositiveInt
    thinking: Literal["minimal", "low", "medium", "high"] | Annotated[int, Field(ge=0)] | None = None
    media_resolution: Literal["low", "medium", "high"] | None = None
    batch: bool = False
    prices: Prices

    @pydantic.model_validator(mode="after")
    def _the_sdk_can_do_it(self) -> "GeminiTeacher":
        named = {"thinking": self.thinking, "media_resolution": self.media_resolution, "batch": self.batch or None}
        wanted = [name for name, value in named.items() if value is not None]
        if wanted and self.sdk != "google-genai":
            raise ValueError(
                f"{self.sdk} cannot do {' and '.join(wanted)}: pip install -r requirements-genai.txt and "
                "-S teachers.gemini.sdk=google-genai"
            )
        return self


class OpenAITeacher(Strict):
    kind: Literal["openai"]
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]")]
    key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] | None
    model: str
    show_mos: bool
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    max_output_tokens: PositiveInt
    json_schema: bool
    extra: dict[str, pydantic.JsonValue]
    prices: Prices | None


class MLLMTeacher(Strict):
    kind: Literal["mllm"]
    mllm: str


class FileTeacher(Strict):
    kind: Literal["file"]
    path: Path


Teacher = Annotated[
    OfflineTeacher | GeminiTeacher | OpenAITeacher | MLLMTeacher | FileTeacher, Field(discriminator="kind")
]


class Caption(Strict):
    max_failed: Share


class Recipe(Strict):
    """How an MLLM learns; `crop` is the least part of an image's sides that is shown."""

    epochs: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    word_weight: PositiveFloat
    word_spread: Annotated[float, Field(ge=0)]
    crop: Annotated[float, Field(gt=0, le=1)]


class MLLM(Profile):
    lora: Lora
    recipe: Recipe

    @property
    def profile(self) -> Profile:
        """What it is loaded by, without how it is distilled."""
        return Profile(**self.model_dump(include=set(Profile.model_fields)))


class Distill(Strict):
    enabled: bool
    seed: Annotated[int, Field(ge=0)]
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    beta2: Fraction
    select: Literal["loss", "word_accuracy", "srcc"]


class Describe(Strict):
    aspects: Annotated[list[Aspect], Field(min_length=1)] | None

    @pydantic.field_validator("aspects")
    @classmethod
    def _each_once(cls, aspects: list[Aspect] | None) -> list[Aspect] | None:
        if aspects and len(set(aspects)) < len(aspects):
            raise ValueError(f"aspects names {max(aspects, key=aspects.count)!r} twice")
        return aspects


class Regressor(Strict):
    """What every head has, whatever its stack."""

    dim: PositiveInt
    dropout: Share
    hidden: PositiveInt
    shortcut: bool
    shortcut_dropout: Share
    standardise: list[Literal["states", "mos"]]


class XLSTMHead(Regressor):
    kind: Literal["xlstm"]
    blocks: PositiveInt
    slstm_at: list[Annotated[int, Field(ge=0)]]
    heads: PositiveInt

    @pydantic.model_validator(mode="after")
    def _sizes_fit(self) -> "XLSTMHead":
        check_xlstm(self.dim, self.blocks, self.slstm_at, self.heads)
        return self


class StacklessHead(Regressor):
    kind: Literal["mlp", "statistics"]

    @pydantic.model_validator(mode="after")
    def _reads_something(self) -> "StacklessHead":
        if self.kind == "statistics" and not self.shortcut:
            raise ValueError("a head of the kind statistics has its shortcut alone: expected shortcut: true")
        return self


class RecurrentHead(Regressor):
    kind: Literal["lstm", "gru"]
    blocks: PositiveInt


class TransformerHead(Regressor):
    kind: Literal["transformer"]
    blocks: PositiveInt
    heads: PositiveInt

    @pydantic.model_validator(mode="after")
    def _sizes_fit(self) -> "TransformerHead":
        check_transformer(self.dim, self.heads)
        return self


class MambaHead(Regressor):
    kind: Literal["mamba"]
    blocks: PositiveInt
    heads: PositiveInt
    state: PositiveInt

    @pydantic.model_validator(mode="after")
    def _sizes_fit(self) -> "MambaHead":
        check_mamba(self.dim, self.heads)
        return self


Head = Annotated[XLSTMHead | StacklessHead | RecurrentHead | TransformerHead | MambaHead, Field(discriminator="kind")]


class Loss(Strict):
    mse: Weight = 0.0
    huber: Weight = 0.0
    plcc: Weight = 0.0
    rank: Weight = 0.0

    @pydantic.model_validator(mode="after")
    def _something(self) -> "Loss":
        if not any(self.model_dump().values()):
            raise ValueError("at least one of mse, huber, plcc and rank needs a weight above 0")
        return self


class Train(Strict):
    seed: int
    epochs: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Share
    max_norm: PositiveFloat | None
    average: Share
    length_window: PositiveInt
    token_dropout: Share
    loss: Loss


class Evaluate(Strict):
    seed: int
    bootstrap: PositiveInt
    on: str | None


class TeacherLimits(Strict):
    requests_per_minute: PositiveInt | None
    input_tokens_per_minute: PositiveInt | None
    requests_per_day: PositiveInt | None
    concurrency: PositiveInt
    timeout: PositiveFloat
    max_usd: PositiveFloat | None = None


class Launcher(Strict):
    processes: PositiveInt


class Runtime(Strict):
    device: Literal["auto", "cpu", "cuda", "mps"]
    batch: PositiveInt
    micro_batch: PositiveInt | None
    activation_checkpointing: bool
    launcher: Launcher
    teacher: TeacherLimits
