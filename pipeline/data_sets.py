"""Profiles of data sets, `datasets` in params.yaml: rendered here, with labels of people, or several in one."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, PositiveInt

from data.readers import READERS
from m3agiqa.aspects import MOS_RANGE, Scale
from m3agiqa.strict import Strict


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


# Their MOS were standardised after they were averaged, or from other scores than the spread beside them is of.
STANDARDISED = {"agiqa-3k", "aigciqa2023"}

Several = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed), Field(min_length=1)]


class Synthetic(Strict):
    """Rendered: nothing to bring."""

    reader: Literal["synthetic"]
    seed: int
    prompts: PositiveInt
    size: Annotated[int, Field(ge=64)]
    raters: Annotated[int, Field(ge=2)]

    @property
    def source(self) -> tuple[str, ...]:
        """It is rendered here."""
        return ()

    @property
    def scale(self) -> Scale:
        return MOS_RANGE

    @property
    def averaged(self) -> bool:
        """A MOS is the plain mean of the panel's scores."""
        return True


class Labelled(Strict):
    """Images that people rated, wherever they come from."""

    reader: Literal[READERS]  # type: ignore[valid-type]  # each a module of data/readers/, known when it runs
    source: Several
    scale: tuple[float, float]
    raters: PositiveInt | None = None

    @property
    def averaged(self) -> bool:
        """Whether the raters' spread is that of the scores that a MOS is the plain mean of."""
        return self.reader not in STANDARDISED

    @pydantic.field_validator("scale")
    @classmethod
    def _ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] >= scale[1]:
            raise ValueError(f"scale must be [lowest, highest], not {list(scale)}")
        return scale


class Joined(Strict):
    """Other data sets as one (data/ingest/joined.py): each brings its own source and scale."""

    reader: Literal["joined"]
    of: Several  # names in datasets

    @property
    def scale(self) -> Scale:
        return MOS_RANGE

    @property
    def raters(self) -> None:
        """Not one number for all."""

    @property
    def averaged(self) -> bool:
        """Not by all."""
        return False

    @pydantic.field_validator("of")
    @classmethod
    def _each_once(cls, of: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(of)) < len(of):
            raise ValueError(f"of names {max(of, key=of.count)!r} twice")
        return of


Single = Annotated[Synthetic | Labelled, Field(discriminator="reader")]
Dataset = Annotated[Synthetic | Labelled | Joined, Field(discriminator="reader")]


def check(datasets: dict[str, Dataset]) -> None:
    """Refuse (ValueError) a joined data set of what is not there, or is joined itself."""
    single = [name for name, profile in datasets.items() if not isinstance(profile, Joined)]
    for name, profile in datasets.items():
        for part in profile.of if isinstance(profile, Joined) else ():
            if part not in single:
                what = "is joined itself" if part in datasets else "is not among datasets"
                known = ", ".join(single)
                raise ValueError(f"datasets.{name}.of names {part!r}, which {what}; expected some of {known}")
