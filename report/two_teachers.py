"""Two teachers beside each other, for a terminal: what `python -m stages.caption --compare` prints."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill, shorten

from evaluation.captions import Ranked
from evaluation.two_teachers import Comparison

WIDTH = 120  # columns of the terminal
GAP = "  "
SAW = {True: "was shown the scores", False: "was shown no scores", None: "may have seen the scores"}
AGREEMENT = ("aspect", "images", "1 and 2", "1 and the MOS", "2 and the MOS")
WORDING = ("aspect", "1 less 2, with the MOS", "words a text", "different words", "used by both")
HOW = (
    "Agreement is SRCC with its 95 % interval, resampled by prompt. A text is read as a score by a ridge on words that "
    "learnt from the MOS and the same teacher's texts about other prompts. No test image is among the images."
)


def told(saw_scores: Mapping[str, bool | None], found: Mapping[str, Comparison]) -> str:
    """Both teachers by name, with whether each saw the scores, and what was found on each aspect."""
    teachers = [f"{number}: {name}, which {SAW[saw]}" for number, (name, saw) in enumerate(saw_scores.items(), start=1)]
    agreement = [
        (aspect, f"{one.images:,}", *(_ranked(srcc) for srcc in (one.between, *one.mos)))
        for aspect, one in found.items()
    ]
    wording = [
        (
            aspect,
            _ranked(one.gain, sign=True),
            " / ".join(f"{words:.0f}" for words in one.words),
            " / ".join(f"{words:,}" for words in one.vocabulary),
            f"{one.shared:.0%}",
        )
        for aspect, one in found.items()
    ]
    tables = [line for rows in ([AGREEMENT, *agreement], [WORDING, *wording]) for line in (*_aligned(rows), "")]
    differing = [line for aspect, one in found.items() for line in _differing(aspect, one)]
    title = ["", "They differ most on:"] if differing else []
    return "\n".join([*teachers, "", *tables, fill(HOW, WIDTH), *title, *differing])


def nothing_in_common(described: Mapping[str, int]) -> str:
    """Where no image has been described by both; `described`: how many each has, by its name."""
    return "no image has been described by both: " + ", ".join(f"{name} has {n:,}" for name, n in described.items())


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield GAP.join([first.ljust(widths[0]), *cells])


def _ranked(found: Ranked, *, sign: bool = False) -> str:
    style = "+.3f" if sign else ".3f"
    if found.srcc is None:
        return "–"
    edges = "no interval" if found.srcc_ci is None else " to ".join(f"{edge:{style}}" for edge in found.srcc_ci)
    return f"{found.srcc:{style}} ({edges})"


def _differing(aspect: str, found: Comparison) -> Iterator[str]:
    for row in found.differing.to_dict("records"):
        read = ", ".join(f"{number} reads as {row[f'reading_{number}']:.2f}" for number in (1, 2))
        yield shorten(f"{aspect} of {row['image_id']}, MOS {row['mos']:.2f}: {read}", WIDTH)
        yield from (f"{GAP}{number}: {shorten(row[f'text_{number}'], WIDTH - 5)}" for number in (1, 2))
