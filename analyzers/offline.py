"""Teacher `offline`: describes images by rule. No model, no network; it works on any data set.

What it knows it takes from three places. Pixel measurements tell what stands out: artefacts by how far
they are above what is visible, the others by their rank among the images to be described. The raters'
comment tells what pixels cannot: a missing object, a bent shape. The MOS tells which of the findings
mattered, and the overall phrase at the end.

Its students may be tiny, so the vocabulary is small, findings come in a fixed order, and wording
that nothing in the image decides is kept to the opening words, drawn by a hash of the pixels. The MOS
appears only as one of ten graded phrases, never as a number; the five rating words and digits are
replaced wherever a comment has them, because rating is the second round's question.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from analyzers.measurements import MEASURES, measure

SCALE = 5  # the MOS lies in 0 to 5


@dataclass(frozen=True)
class Finding:
    """What a measure that stands high or low among the reference says, mildly and strongly."""

    measure: str
    side: Literal["high", "low"]
    value: Literal["merit", "fault"]
    mild: str
    strong: str


FINDINGS = {
    "quality": (
        Finding("blur", "high", "fault", "edges are a little soft", "edges are blurred"),
        Finding("blur", "low", "merit", "edges are clear", "edges are very crisp"),
        Finding("noise", "high", "fault", "some grain is visible", "heavy grain covers the picture"),
        Finding("noise", "low", "merit", "there is little grain", "there is little grain"),
        Finding("blockiness", "high", "fault", "faint blocks show", "coarse blocks break up the picture"),
        Finding("banding", "high", "fault", "soft areas show faint steps", "soft areas break into bands"),
        Finding("contrast", "low", "fault", "contrast is weak", "contrast is very weak"),
        Finding("contrast", "high", "merit", "contrast is clear", "contrast is strong"),
        Finding("colourfulness", "low", "fault", "colours are pale", "colours are dull"),
        Finding("colourfulness", "high", "merit", "colours are lively", "colours are vivid"),
        Finding("cast", "high", "fault", "a slight tint lies over the colours", "a strong tint lies over the colours"),
        Finding(
            "clipping", "high", "fault", "some detail is lost in light or dark", "much detail is lost in light or dark"
        ),
    ),
    "correspondence": (),  # no measure knows the prompt
    "authenticity": (
        Finding("sharpness", "low", "fault", "surfaces look smooth", "surfaces look smooth like wax"),
        Finding("sharpness", "high", "merit", "surfaces have texture", "surfaces are rich in texture"),
        Finding("contrast", "low", "fault", "the light is rather flat", "the light is flat"),
        Finding("contrast", "high", "merit", "the light gives some depth", "the light gives depth"),
        Finding(
            "clipping", "high", "fault", "some parts are lost in light or dark", "large parts are lost in light or dark"
        ),
    ),
}
NOTHING = {
    "quality": "sharpness, grain, contrast and colour are all ordinary",
    "authenticity": "light and texture are ordinary",
}
# Artefacts have a zero of their own. Where they become visible, and where they are heavy, was set once on the
# synthetic images (clean ones stay below the first) and on JPEG, blur and noise added to photographs.
VISIBLE = {"noise": (2.5, 14.0), "blockiness": (1.25, 4.0), "banding": (0.65, 1.25), "clipping": (0.02, 0.1)}
# How much the MOS, from -1 to 1, moves a finding up or down; and what a finding needs to be told.
MOS_PULL, TELL, STRONG, MOST = 0.5, 0.55, 0.8, 2

OPENINGS = ("", "at first sight, ", "up close, ")
CLOSINGS = ("Overall,", "As a whole,", "All in all,")
SUBJECTS = {
    "quality": "the technical quality of the picture",
    "correspondence": "the match with the request",
    "authenticity": "the impression of a real picture",
}
GRADES = (  # of half a point of MOS each
    "fails almost entirely.",
    "fails in most ways.",
    "falls well short.",
    "falls short.",
    "only half succeeds.",
    "just about succeeds.",
    "holds up in most places.",
    "holds up well.",
    "is strong throughout.",
    "is nearly flawless.",
)
# Without a comment, the MOS alone must say how things stand; of one point of MOS each.
UNCOMMENTED = {
    "quality": ("",) * SCALE,  # its measurements say enough
    "correspondence": (
        "Hardly anything that was asked for can be found in the picture.",
        "Much of what was asked for is missing, miscounted or wrong.",
        "Part of what was asked for is there, and part is missing or wrong.",
        "What was asked for is there, with a detail or two out of place.",
        "Everything that was asked for is there, in the right number and place.",
    ),
    "authenticity": (
        "Shapes, light or texture give it away at once.",
        "Something in shapes, light or texture looks clearly wrong.",
        "Something in shapes, light or texture looks a little off.",
        "Shapes look sound, and light falls mostly as it should.",
        "Shapes look sound and solid, and light falls as it should.",
    ),
}
NO_PROMPT = "No request came with the picture, so there is little to compare it with."

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
UNRATED = {"bad": "weak", "poor": "weak", "fair": "middling", "good": "fine", "excellent": "superb"}
RATING = re.compile(rf"\b({'|'.join(UNRATED)})\b", re.IGNORECASE | re.ASCII)  # ASCII: else a dotless i is an i
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=。)|\n+")
ROUTE = re.compile(rf"({'|'.join(SUBJECTS)})\s*:\s*", re.IGNORECASE | re.ASCII)
COMMENT_WORDS, COMMENT_BYTES = 44, 250


class OfflineTeacher:
    """Explains one sample, all its aspects at once, in 9 to 80 words each."""

    name = "offline"

    def __init__(self, reference: Iterable[Mapping[str, float]]) -> None:
        """`reference`: measurements of the images to rank among, in any order."""
        rows = [[measured[key] for key in MEASURES] for measured in reference]
        if not rows:
            raise ValueError("no reference measurements")
        self._reference = dict(zip(MEASURES, np.sort(np.array(rows), axis=0).T, strict=True))

    def describe(self, image: Image.Image, prompt: str, mos: Mapping[str, float], comment: str) -> dict[str, str]:
        """One explanation for each aspect in `mos` (0 to 5), a function of the arguments and the reference."""
        ranks = {key: self._rank(key, value) for key, value in measure(image).items()}
        digest = hashlib.sha256(image.tobytes()).digest()
        remarks = route(comment)
        return {aspect: _explain(aspect, ranks, prompt, mos[aspect], remarks[aspect], digest) for aspect in mos}

    def _rank(self, key: str, value: float) -> float:
        """Where `value` stands, from -1 (far down) to 1 (far up)."""
        if key in VISIBLE:
            visible, heavy = VISIBLE[key]
            if value < visible:
                return 0.6 * (value / visible - 1)
            return float(np.interp(value, (visible, heavy, 2 * heavy), (0.4, STRONG, 1)))
        reference = self._reference[key]
        below, upto = np.searchsorted(reference, value, "left"), np.searchsorted(reference, value, "right")
        return float(below + upto) / len(reference) - 1


def route(comment: str) -> dict[str, str]:
    """What the raters said of each aspect, cleaned and short.

    A sentence that begins with an aspect's name and a colon belongs to that aspect, any other to all.
    """
    remarks: dict[str, list[str]] = {aspect: [] for aspect in SUBJECTS}
    for sentence in SENTENCE_END.split(unicodedata.normalize("NFKC", comment)):
        named = ROUTE.match(sentence.strip())
        said = sentence.strip()[named.end() :] if named else sentence
        if any(map(str.isalnum, said)):
            for aspect in [named[1].lower()] if named else SUBJECTS:
                remarks[aspect].append(said)
    return {aspect: _clean(" ".join(sentences)) for aspect, sentences in remarks.items()}


def _clean(remark: str) -> str:
    """Without digits and rating words, at most `COMMENT_WORDS` words and `COMMENT_BYTES` bytes, as a sentence."""
    text = re.sub(r"\d+([.,]\d+)*", _in_words, "".join(c if c.isprintable() else " " for c in remark))
    short = ""
    for word in text.split()[:COMMENT_WORDS]:
        longer = f"{short} {word}".strip()
        if len(longer.encode()) > COMMENT_BYTES:
            short = short or longer.encode()[:COMMENT_BYTES].decode(errors="ignore")
            break
        short = longer
    short = RATING.sub(lambda found: UNRATED[found[0].lower()], short).rstrip(" .,;:-")
    if short and short[-1] not in "!?。":
        short += "."
    return _sentence(short)


def _in_words(number: re.Match[str]) -> str:
    digits = number[0]
    known = len(digits) <= 2 and digits.isdecimal() and int(digits) < len(NUMBERS)
    return f" {NUMBERS[int(digits)] if known else 'several'} "


def _explain(aspect: str, ranks: Mapping[str, float], prompt: str, mos: float, remark: str, digest: bytes) -> str:
    """Findings first, then what the raters said, then the overall phrase."""
    slot = 2 * list(SUBJECTS).index(aspect)
    # No measure sees shapes and shadows as raters do: where they spoke of the world, what they said stands alone.
    seen = "" if aspect == "authenticity" and remark else _findings(aspect, ranks, mos)
    parts = [_sentence(f"{OPENINGS[digest[slot] % len(OPENINGS)]}{seen}.")] if seen else []
    if aspect == "correspondence" and not prompt.strip():
        parts.append(NO_PROMPT)
    elif not remark:
        parts.append(UNCOMMENTED[aspect][_grade(mos, SCALE)])
    parts.append(remark)
    parts.append(f"{CLOSINGS[digest[slot + 1] % len(CLOSINGS)]} {SUBJECTS[aspect]} {GRADES[_grade(mos, len(GRADES))]}")
    return " ".join(filter(None, parts))


def _findings(aspect: str, ranks: Mapping[str, float], mos: float) -> str:
    """What stands out most, in the order of the table. A low MOS looks for faults, a high one for merits."""
    if not FINDINGS[aspect]:
        return ""
    pull = MOS_PULL * (2 * mos / SCALE - 1)
    scored = []
    for finding in FINDINGS[aspect]:
        far = ranks[finding.measure] if finding.side == "high" else -ranks[finding.measure]
        score = far + (pull if finding.value == "merit" else -pull)
        if far > 0 and score > TELL:
            scored.append((score, finding, finding.strong if far >= STRONG else finding.mild))
    top = sorted(scored, key=lambda item: -item[0])[:MOST]
    told = [(finding.value, words) for _, finding, words in scored if any(finding is best for _, best, _ in top)]
    if not told:
        return NOTHING[aspect]
    if len(told) == 1:
        return f"{told[0][1]} and little else stands out"
    (first_value, first), (second_value, second) = told
    return f"{first} and {second}" if first_value == second_value else f"{first}, but {second}"


def _grade(mos: float, grades: int) -> int:
    return min(int(mos * grades / SCALE), grades - 1)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
