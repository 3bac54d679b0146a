"""A simulated panel of raters, in the manner of ITU-R BT.500: every rater sees every picture once for each aspect.

A rater has a bias and a gain for the whole session and a fresh error for every score. The mean over the panel is
the MOS, the deviation over the panel its std; the truth stays apart. The panel's words say what it noticed.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from data.synthetic.captions import from_left, things, world
from data.synthetic.faults import ASPECTS, Picture
from data.synthetic.filters import tint_name

BIAS, GAIN, ERROR = 0.3, 0.1, 0.9
_WORDS = {
    "blur": "blurred", "grain": "grainy", "blocks": "blocky", "banding": "banded", "low contrast": "washed out",
    "colour cast": "shifted to {}",
}  # fmt: skip
_VAGUE = {"quality": "something is off", "correspondence": "not quite what was asked",
          "authenticity": "looks odd"}  # fmt: skip
_NOTHING = {"quality": "clean", "correspondence": "both name the same", "authenticity": "plausible"}
NOTICED = 0.12  # what does less harm goes unmentioned
SILENT, VAGUE = 0.06, 0.06  # share of remarks that are missing or imprecise


class Scores(NamedTuple):
    """What a panel gave, for each picture and aspect."""

    mos: NDArray[np.float64]  # (n, aspects)
    std: NDArray[np.float64]


def rate(truth: NDArray[np.float64], raters: int, rng: Generator) -> Scores:
    """The scores of a panel of `raters` for pictures with the truth (n, aspects) in 0…5."""
    shape = (raters, 1, truth.shape[1])
    bias, gain = rng.normal(0, BIAS, shape), rng.normal(1, GAIN, shape)
    errors = rng.normal(0, ERROR, (raters, *truth.shape))
    scores = np.clip(2.5 + gain * (truth - 2.5) + bias + errors, 0, 5)
    return Scores(scores.mean(axis=0), scores.std(axis=0, ddof=1))


def comment(picture: Picture, rng: Generator) -> str:
    """What the panel remarks, an aspect before each remark: "quality: Very grainy. authenticity: Plausible."."""
    layout = from_left(picture.layout)
    differences = [difference.text for difference in picture.differences]
    faults = {
        "quality": [", ".join(_flaws(picture))],
        "correspondence": [f"Different: {', '.join(differences)}"] if differences else [],
        "authenticity": [sentence.rstrip(".") for sentence in world(layout)],
    }
    said = []
    for aspect in ASPECTS:
        remarks = [remark for remark in faults[aspect] if remark]
        chance = rng.random()
        if chance < SILENT:
            continue
        if remarks and chance < SILENT + VAGUE:
            remarks = [_VAGUE[aspect]]
        elif aspect == "correspondence":
            seen = [f"The text names {things(picture.wanted.groups)}", f"The image shows {things(layout.groups)}"]
            remarks = [*seen, *(remarks or [_NOTHING[aspect]])]
        said += [f"{aspect}: {remark[0].upper()}{remark[1:]}." for remark in remarks or [_NOTHING[aspect]]]
    return " ".join(said)


def _flaws(picture: Picture) -> list[str]:
    """The faults of quality that are noticed, the worst first."""
    words = []
    for name, value in sorted(picture.quality.items(), key=lambda item: -item[1]):
        if value >= NOTICED:
            most = "strongly" if name == "colour cast" else "very"
            adverb = "slightly " if value < 0.33 else "" if value < 0.66 else f"{most} "
            colours = "colours " if name == "colour cast" else ""
            words.append(f"{colours}{adverb}{_WORDS[name].format(tint_name(picture.layout.seed))}")
    return words
