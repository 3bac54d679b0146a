"""params.yaml as typed, validated settings.

Every stage reads its knobs here. A wrong name or value is refused before any work starts, with one
line that names the key and what it may be. Names that select a profile (`dataset`, `teacher`,
`mllm`, `head`) must exist among the profiles.
"""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, PositiveFloat, PositiveInt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from analyzers.teacher import Usage
from data.errors import InputError
from data.published import IPCE
from data.readers import READERS
from data.tables import MOS_RANGE

PARAMS = Path("params.yaml")
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Sources = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed), Field(min_length=1)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Synthetic(_Strict):
    reader: Literal["synthetic"]
    seed: int
    prompts: PositiveInt
    size: Annotated[int, Field(ge=64)]
    raters: Annotated[int, Field(ge=2)]


class Labelled(_Strict):
    reader: Literal[READERS]  # each a module of data/readers/
    source: Sources
    scale: tuple[float, float]
    raters: PositiveInt | None = None

    @pydantic.field_validator("scale")
    @classmethod
    def _ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] >= scale[1]:
            raise ValueError(f"scale must be [lowest, highest], not {list(scale)}")
        return scale


class Split(_Strict):
    protocol: Literal["prompt-disjoint", "random", "published", "ipce-k", "k-fold"]
    seed: int
    val: Fraction
    test: Fraction
    folds: Annotated[int, Field(ge=2)]
    fold: PositiveInt

    @pydantic.model_validator(mode="after")
    def _fold_exists(self) -> "Split":
        highest = {"k-fold": self.folds, "ipce-k": IPCE}.get(self.protocol, self.fold)
        if self.fold > highest:
            raise ValueError(f"fold is {self.fold}, and {self.protocol} has {highest} folds, counted from 1")
        return self


class OfflineTeacher(_Strict):
    kind: Literal["offline"]


class Prices(_Strict):
    date: dt.date
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]

    def cost(self, usage: Usage) -> float:
        """USD; thinking is billed as output."""
        return (usage.input * self.input + (usage.output + usage.thinking) * self.output) / 1e6


class GeminiTeacher(_Strict):
    kind: Literal["gemini"]
    sdk: Literal["google-generativeai", "google-genai"]
    model: str
    show_mos: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_output_tokens: PositiveInt
    prices: Prices


class MLLMTeacher(_Strict):
    kind: Literal["mllm"]
    mllm: str


class FileTeacher(_Strict):
    kind: Literal["file"]
    path: Path


Teacher = Annotated[OfflineTeacher | GeminiTeacher | MLLMTeacher | FileTeacher, Field(discriminator="kind")]


class Caption(_Strict):
    max_failed: Annotated[float, Field(ge=0, lt=1)]


class Lora(_Strict):
    r: PositiveInt
    alpha: PositiveFloat
    dropout: Annotated[float, Field(ge=0, lt=1)]
    targets: str | list[str]
    modules_to_save: list[str]


class MLLM(_Strict):
    model: str
    revision: str | None
    dtype: Literal["float32", "bfloat16", "float16"]
    max_length: PositiveInt
    max_new_tokens: PositiveInt
    fewer_views: list[dict[str, Any]]
    adapter: str | None = None
    adapter_revision: str | None = None
    lora: Lora


class Distill(_Strict):
    enabled: bool
    seed: int
    epochs: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    beta2: Fraction


class XLSTMHead(_Strict):
    kind: Literal["xlstm"]
    dim: PositiveInt
    blocks: PositiveInt
    slstm_at: list[Annotated[int, Field(ge=0)]]
    heads: PositiveInt
    dropout: Share
    hidden: PositiveInt


class MLPHead(_Strict):
    kind: Literal["mlp"]
    dim: PositiveInt
    dropout: Share
    hidden: PositiveInt


class RecurrentHead(_Strict):
    kind: Literal["lstm", "gru"]
    dim: PositiveInt
    blocks: PositiveInt
    dropout: Share
    hidden: PositiveInt


class TransformerHead(_Strict):
    kind: Literal["transformer"]
    dim: PositiveInt
    blocks: PositiveInt
    heads: PositiveInt
    dropout: Share
    hidden: PositiveInt


class MambaHead(_Strict):
    kind: Literal["mamba"]
    dim: PositiveInt
    blocks: PositiveInt
    heads: PositiveInt
    state: PositiveInt
    dropout: Share
    hidden: PositiveInt


Head = Annotated[XLSTMHead | MLPHead | RecurrentHead | TransformerHead | MambaHead, Field(discriminator="kind")]


class Loss(_Strict):
    mse: Weight = 0.0
    huber: Weight = 0.0
    plcc: Weight = 0.0
    rank: Weight = 0.0

    @pydantic.model_validator(mode="after")
    def _something(self) -> "Loss":
        if not any(self.model_dump().values()):
            raise ValueError("at least one of mse, huber, plcc and rank needs a weight above 0")
        return self


class Train(_Strict):
    seed: int
    epochs: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    token_dropout: Annotated[float, Field(ge=0, lt=1)]
    loss: Loss


class Evaluate(_Strict):
    seed: int
    bootstrap: PositiveInt
    on: str | None


class TeacherLimits(_Strict):
    requests_per_minute: PositiveInt | None
    input_tokens_per_minute: PositiveInt | None
    requests_per_day: PositiveInt | None
    concurrency: PositiveInt
    timeout: PositiveFloat


class Launcher(_Strict):
    processes: PositiveInt


class Runtime(_Strict):
    device: Literal["auto", "cpu", "cuda", "mps"]
    batch: PositiveInt
    activation_checkpointing: bool
    launcher: Launcher
    teacher: TeacherLimits


class Settings(_Strict):
    dataset: str
    aspect: Literal["quality", "correspondence", "authenticity"]
    teacher: str
    mllm: str
    head: str
    datasets: dict[str, Annotated[Synthetic | Labelled, Field(discriminator="reader")]]
    split: Split
    teachers: dict[str, Teacher]
    caption: Caption
    mllms: dict[str, MLLM]
    distill: Distill
    heads: dict[str, Head]
    train: Train
    evaluate: Evaluate
    runtime: Runtime

    def ratings(self, dataset: str) -> dict[str, Any]:
        """Of a data set: the scale that its raters had, and how many rated an image, where that is known."""
        profile = self.datasets[dataset]
        return {"scale": getattr(profile, "scale", MOS_RANGE), "raters": profile.raters}

    @pydantic.model_validator(mode="after")
    def _names_exist(self) -> "Settings":
        for name, profiles in (("dataset", "datasets"), ("teacher", "teachers"), ("mllm", "mllms"), ("head", "heads")):
            if getattr(self, name) not in getattr(self, profiles):
                known = ", ".join(getattr(self, profiles))
                raise ValueError(f"{name} is {getattr(self, name)!r}, which is not among {profiles}: {known}")
        if self.evaluate.on is not None and self.evaluate.on not in set(self.datasets) - {self.dataset}:
            others = ", ".join(sorted(set(self.datasets) - {self.dataset}))
            raise ValueError(f"evaluate.on is {self.evaluate.on!r}, expected nothing or another data set: {others}")
        for name, teacher in self.teachers.items():
            if isinstance(teacher, MLLMTeacher) and teacher.mllm not in self.mllms:
                raise ValueError(
                    f"teachers.{name}.mllm is {teacher.mllm!r}, which is not among mllms: {', '.join(self.mllms)}"
                )
        return self


def load(path: Path = PARAMS) -> Settings:
    """Read and validate `path`. Raises InputError with the first wrong key, its value and what it may be."""
    try:
        values: Any = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run from the project's folder") from None
    except YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return Settings.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = "" if not key or isinstance(first["input"], dict) else f" (given: {first['input']!r})"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {key + ': ' if key else ''}{message}{given}") from None
