"""Rating words in prose: which of the five a text says of its image, where it says one at all.

A description need not hold any. Where it does, the last sentence that has one decides, because a verdict stands at the
end. That sentence decides nothing where it has two different ones, or one that is denied ("not good", "far from
excellent"). Whether a word is said of the image or of something in it ("fair hair") cannot be told here.
"""

import re
from typing import NamedTuple

from m3agiqa.mllm.conversation import RATING_WORDS

_WORD = re.compile(rf"\b({'|'.join(RATING_WORDS)})\b", re.IGNORECASE | re.ASCII)  # ASCII: else a dotless i is an i
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=。)|\n+")
_DENIED = re.compile(  # what stands before a word in its clause, with up to three words between
    r"(?:\b(?:not|no|never|hardly|barely|scarcely|neither|nor|without|lack(?:s|ing)?|far\s+from|less\s+than"
    r"|anything\s+but)|n['’]t)(?:\s+[\w'’-]+){0,3}\s*$",
    re.IGNORECASE,
)


class Verdict(NamedTuple):
    """What a text says in rating words."""

    said: bool  # whether it has one of the five
    level: int | None  # which of RATING_WORDS, where that is clear


def verdict(text: str) -> Verdict:
    """That of the last sentence with a rating word."""
    for sentence in reversed(_SENTENCE_END.split(text)):
        if found := list(_WORD.finditer(sentence)):
            words = {word.group().lower() for word in found}
            denied = any(_DENIED.search(sentence, 0, word.start()) for word in found)
            return Verdict(said=True, level=None if denied or len(words) > 1 else RATING_WORDS.index(words.pop()))
    return Verdict(said=False, level=None)
