"""Scores of many images in a line an aspect, and in a few words what a score, an interval and a word mean."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from m3agiqa.aspects import MOS_RANGE, Scale
from m3agiqa.mllm.conversation import RATING_WORDS
from m3agiqa.score import Score
from m3agiqa.warnings.images import kinds

SCORE = "A score foretells people's mean opinion, on the scale on which they rated the training images: {}."
BETTER = " It is better than the share of the training images that people rated lower."
STRETCHED = " On 0 to 5 is the same, stretched, to compare it with other scales."
INTERVAL = (
    "The interval behind it holds people's mean opinion in 90 % of cases, for images like the training images. "
    "For others it promises nothing; those that differ much get a warning."
)
WORD = (
    f"The word, {', '.join(RATING_WORDS[:-1])} or {RATING_WORDS[-1]}, is the model's own for the fifth of the scale in "
    "which it sees the image, from the worst to the best. It is said before the score is computed; where the two "
    "differ, the score is the finer."
)
REFUSED_UNLIKE = "refused: unlike"  # how the status begins of an image outside the judge's world


@dataclass
class Summary:
    """One aspect of all images."""

    aspect: str
    scale: Scale = MOS_RANGE  # of the scores; no score, no scale
    images: int = 0  # asked about
    judged: int = 0  # with a score, or outside the judge's world
    unlike: int = 0  # of those: unlike the training images
    words: bool = False  # whether any has one
    scores: "array[float]" = field(default_factory=lambda: array("d"))  # 8 bytes an image

    def add(self, score: Score) -> None:
        """One image more."""
        refused = score.status.startswith(REFUSED_UNLIKE)
        self.images += 1
        self.judged += refused or score.score is not None
        self.unlike += refused or any(kinds([warning]) != "prompt" for warning in score.warnings)
        self.words |= score.word is not None
        if score.score is not None:
            self.scores.append(score.score)
            self.scale = score.scale

    def __str__(self) -> str:
        found = f"{self.aspect}: {len(self.scores):,} of {self.images:,} images have a score"
        if self.scores:
            mean = sum(self.scores) / len(self.scores)
            ends = f"{self.scale.low:g} to {self.scale.high:g}"
            found += f", from {min(self.scores):.2f} to {max(self.scores):.2f}, mean {mean:.2f}, on {ends}"
        if self.judged:
            found += f"; {percent(self.unlike, self.judged)} unlike the training images"
        return found


def summaries(scores: Iterable[Score]) -> list[Summary]:
    """One of each aspect that any image was asked about."""
    found: dict[str, Summary] = {}
    for score in scores:
        found.setdefault(score.aspect, Summary(score.aspect)).add(score)
    return list(found.values())


def meaning(found: Iterable[Summary]) -> list[str]:
    """What the scores mean, in sentences; nothing where there are none."""
    told = [each for each in found if each.scores]
    if not told:
        return []
    ends = ", ".join(f"{each.aspect} from {each.scale.low:g} (worst) to {each.scale.high:g} (best)" for each in told)
    moved = STRETCHED if any(each.scale != MOS_RANGE for each in told) else ""
    return [SCORE.format(ends) + moved + BETTER, INTERVAL, *([WORD] if any(each.words for each in told) else [])]


def standing(score: Score) -> str:
    """Where an image stands among the training images; nothing without a score."""
    if score.percentile is None:
        return ""
    return f"better than {percent(score.percentile, 100)} of the training images"


def percent(part: float, whole: float) -> str:
    """A share of `whole`; 0 % and 100 % are said of none and of all alone."""
    if part in (0, whole):
        return f"{100 if part else 0} %"
    return f"{min(max(round(100 * part / whole), 1), 99)} %"
