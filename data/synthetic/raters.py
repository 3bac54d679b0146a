"""A simulated panel of raters, in the manner of ITU-R BT.500: every rater sees every picture once for each aspect.

A rater has a bias and a gain for the whole session and a fresh error for every score. The mean over the panel is
the MOS, the deviation over the panel its std; the truth stays apart. The panel's words say what it noticed.
"""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from data.synthetic.faults import ASPECTS, AUTHENTICITY, Picture
from data.synthetic.filters import tint_name

BIAS, GAIN, ERROR = 0.3, 0.1, 0.9
_WORDS = {
    "blur": "blurred", "grain": "grainy", "blocks": "blocky", "banding": "banded", "low contrast": "washed out",
    "colour cast": "shifted to {}", "bend": "things bend over", "tear": "parts do not fit together",
    "light": "shadows fall in two directions", "repeat": "the ground repeats one patch",
}  # fmt: skip
_VAGUE = {"quality": "something is off", "correspondence": "not quite what was asked",
          "authenticity": "looks odd"}  # fmt: skip
_NOTHING = {"quality": "clean", "correspondence": "all is there", "authenticity": "plausible"}
NOTICED = 0.12  # what does less harm goes unmentioned
SILENT, VAGUE = 0.12, 0.12  # share of remarks that are missing or imprecise


def rate(truth: np.ndarray, raters: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """MOS and std (n, aspects) of a panel of `raters`, from the truth (n, aspects) in 0…5."""
    shape = (raters, 1, truth.shape[1])
    bias, gain = rng.normal(0, BIAS, shape), rng.normal(1, GAIN, shape)
    errors = rng.normal(0, ERROR, (raters, *truth.shape))
    scores = np.clip(2.5 + gain * (truth - 2.5) + bias + errors, 0, 5)
    return scores.mean(axis=0), scores.std(axis=0, ddof=1)


def comment(picture: Picture, rng: Generator) -> str:
    """What the panel remarks, a sentence an aspect: "quality: very grainy. authenticity: things bend over."."""
    remarks = {
        "quality": _remarks(picture.quality, picture),
        "correspondence": [difference.text for difference in picture.differences],
        "authenticity": _remarks(picture.authenticity, picture),
    }
    sentences = []
    for aspect in ASPECTS:
        chance = rng.random()
        if chance < SILENT:
            continue
        words = ", ".join(remarks[aspect]) or _NOTHING[aspect]
        if chance < SILENT + VAGUE and remarks[aspect]:
            words = _VAGUE[aspect]
        sentences.append(f"{aspect}: {words}.")
    return " ".join(sentences)


def _remarks(severities: Mapping[str, float], picture: Picture) -> list[str]:
    """The faults that are noticed, the worst first."""
    worst = sorted(severities, key=lambda name: -severities[name])
    words = []
    for name in worst:
        value = severities[name]
        if value < NOTICED:
            continue
        word = _WORDS[name].format(tint_name(picture.layout.seed))
        if name == "colour cast":
            word = f"colours {_adverb(value, 'strongly')}{word}"
        elif name in AUTHENTICITY:
            word = f"{word}{'' if name == 'light' else _manner(value)}"
        else:
            word = f"{_adverb(value)}{word}"
        words.append(word)
    return words


def _adverb(value: float, most: str = "very") -> str:
    return "slightly " if value < 0.33 else "" if value < 0.66 else f"{most} "


def _manner(value: float) -> str:
    return " a little" if value < 0.33 else "" if value < 0.66 else " badly"
