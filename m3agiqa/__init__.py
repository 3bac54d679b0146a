"""Scores AI-generated images as people would: images and prompts in, scores with a reason out.

    from m3agiqa import Scorer

    scorer = Scorer.load()  # the judge that ships; or a folder that `m3agiqa bundle` packed, or hf://owner/name@commit
    for score in scorer(["cat.png"], aspect="quality"):
        print(score.score, score.interval, score.word, score.description, score.warnings)

`m3agiqa predict` is the same from the command line, `m3agiqa demo` in a browser. The library judges; it knows nothing
of data sets, teachers or DVC, and what it needs comes as arguments.
"""

from typing import TYPE_CHECKING, Any

from m3agiqa.errors import InputError

if TYPE_CHECKING:
    from m3agiqa.score import Interval, Score
    from m3agiqa.scorer import Scorer

__all__ = ["InputError", "Interval", "Score", "Scorer"]


def __getattr__(name: str) -> Any:
    """The scorer when it is first asked for: it brings torch and transformers, which take seconds."""
    if name in __all__:
        from m3agiqa import score, scorer  # noqa: PLC0415

        return getattr(score, name, None) or getattr(scorer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
