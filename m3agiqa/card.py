"""The card of a trained aspect: what it was made from, how sure its scores are, which images it knows, how good it is.

One JSON file an aspect, written by the stage `card` and carried in every bundle. It comes from outside as often as
not, so it is validated: another version, a missing key or a number out of range is refused by name.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import Field

from m3agiqa.aspects import Aspect, Scale
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint, sha256, write_text
from m3agiqa.json_text import parse_json
from m3agiqa.mllm.profile import Profile
from m3agiqa.strict import Strict, first_error
from m3agiqa.warnings.images import Content, Limits

HEAD_FILES = ("head.json", "head.safetensors")
FORMAT = 5  # of the card and of the bundle around it; raised when a file of an older project would be misread

World = Literal["real", "simulated"]  # pictures that people rated, or rendered scenes and a made-up panel

NotNegative = Annotated[float, Field(ge=0)]


class Interval(Strict):
    """evaluation/conformal.py: how far from the score the MOS lies at most, with probability `level`."""

    level: Annotated[float, Field(gt=0, lt=1)]
    half_width: NotNegative | None  # None: too few validation images for less than the whole scale
    coverage: Annotated[float, Field(ge=0, le=1)] | None  # on the test images; None: not known


class Preference(Strict):
    """evaluation/preference.py: how far apart two scores must be for people to prefer one of the images."""

    spread: Annotated[float, Field(gt=0)] | None  # of m3agiqa/ranking.py, on 0 to 5; None: too few images to say
    within_prompts: bool  # learnt from pairs of one prompt, or from any two images


class HeadCard(Strict):
    """A head, and how sure its scores are."""

    sha256: str  # of its files
    interval: Interval
    preference: Preference


class Familiar(Strict):
    """m3agiqa/warnings/images.py: what the training images are like."""

    limits: dict[str, Limits]
    prompt_characters: Limits  # of the training prompts; none has any where they are not known
    content: Content


class Card(Strict):
    """What is known of one trained aspect."""

    format: Literal[5]
    dataset: str
    aspect: Aspect
    described: tuple[Aspect, ...] = Field(default=(), exclude_if=lambda aspects: not aspects)  # none: the aspect alone
    mllm: Profile
    adapted: bool  # with an adapter, or the MLLM as it came
    identity: str  # LocalMLLM.identity: SHA-256 of weights, dtype and adapter
    head: HeadCard
    fast_head: HeadCard  # the one that reads the states of image and question alone, so that nothing is written
    questions: dict[str, str]  # what the MLLM is asked
    familiar: Familiar
    world: World  # of its training images
    mos: Annotated[tuple[float, ...], Field(min_length=2)]  # theirs on 0 to 5: the lowest, percentiles, the highest
    scale: Scale  # on which people rated the training images: the scores', which are computed on 0 to 5
    figures: dict[str, Any]  # results/evaluation.json; empty where that is about another data set's images
    made_with: dict[str, str]  # versions of what decides the numbers
    made_on: dict[
        str, dict[str, Any] | None
    ]  # by stage: device, dtype, batch and processes, which decide the last bits

    def head_of(self, *, fast: bool) -> HeadCard:
        """The head that is meant."""
        return self.fast_head if fast else self.head

    @property
    def max_new_tokens(self) -> int:
        """Of a description, whatever it is about."""
        return self.mllm.max_new_tokens * max(1, len(self.described))

    @property
    def word_tells(self) -> bool:
        """Whether the MLLM's word went with people's ratings of the test images, as far as that was measured.

        An MLLM that was not distilled says a word like any other, and it may mean nothing.
        """
        measured = (self.figures.get("baselines") or {}).get("student_word")
        if not measured:
            return True
        low, _ = measured["srcc_ci"] or (measured["srcc"] or 0.0, 1.0)  # one word for all images has no SRCC
        return bool(low > 0)

    def percentile(self, score: float) -> float:
        """Which share of the training images people rated lower, 0 to 100, for a score on 0 to 5."""
        return float(np.interp(score, self.mos, np.linspace(0, 100, len(self.mos))))

    @pydantic.field_validator("mos")
    @classmethod
    def _rising(cls, mos: tuple[float, ...]) -> tuple[float, ...]:
        if list(mos) != sorted(mos):
            raise ValueError("expected percentiles, which do not fall")
        return mos

    @pydantic.field_validator("scale")
    @classmethod
    def _ascending(cls, scale: Scale) -> Scale:
        if scale.low >= scale.high:
            raise ValueError(f"expected the lowest and the highest score, not {list(scale)}")
        return scale


def write_card(card: Card, path: Path | str) -> None:
    """Write it as JSON, atomically; the same card gives the same bytes."""
    write_text(path, card.model_dump_json(indent=2) + "\n")


def read_card(path: Path | str) -> Card:
    """The card at `path`.

    Raises:
        InputError: no such file, no JSON, another version, or a key that is missing, unknown or out of range.
    """
    try:
        values = parse_json(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such card; run the stage card") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise InputError(f"{path}: format {found!r}, and this version of the project reads format {FORMAT}")
    try:
        return Card.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error, values)}") from None


def head_sha256(folder: Path) -> str:
    """One hash over the head's files."""
    missing = [name for name in HEAD_FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: no head here ({' and '.join(missing)} missing)")
    return fingerprint([sha256(folder / name) for name in HEAD_FILES])
