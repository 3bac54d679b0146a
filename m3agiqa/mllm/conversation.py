"""The two-round conversation about one aspect of one image, and the five words that it ends with.

Round 1 asks for an analysis, round 2 for a word. One function builds every cut of it: to describe, round 1's question
alone; to rate and to read hidden states, everything but the word; to train, the whole. The messages are in Hugging
Face's chat format, so that any model's own chat template can render them; the image itself travels beside them.

Round 1 may be about several aspects, whichever is rated. Then its one question names them all, and its one answer has a
text on each, after its name. M3-AGIQA's code makes the conversations of its ablation like that, and a description stays
one text, in one place of the sequence.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint

Message = dict[str, Any]
Conversation = list[Message]

RATING_WORDS = ("bad", "poor", "fair", "good", "excellent")
WORD_CUTS = (1.0, 2.0, 3.0, 4.0)  # on the 0-5 scale; a MOS on a cut takes the better word
WORD_MIDDLES = (0.5, 1.5, 2.5, 3.5, 4.5)  # of the intervals between them

QUESTIONS = {
    path.stem: path.read_text(encoding="utf-8").strip() for path in Path(__file__).parent.glob("prompts/*.txt")
}


def word_of(mos: float) -> str:
    """The rating word of a MOS on the 0-5 scale.

    Raises:
        InputError: `mos` is outside the scale, or NaN.
    """
    if not 0.0 <= mos <= 5.0:
        raise InputError(f"a MOS of {mos} has no rating word: it must lie on the 0-5 scale")
    return RATING_WORDS[bisect_right(WORD_CUTS, mos)]


def conversation(
    aspect: str,
    prompt: str,
    description: str | None = None,
    word: str | None = None,
    *,
    described: Sequence[str] = (),
) -> Conversation:
    """Round 1's question; with a `description` also its answer and round 2's question; with a `word` the whole.

    Round 1 is about the aspects `described`, in this order; where none is named, about the one that round 2 rates. An
    image without a prompt (empty or only spaces) gets a question that says so.
    """
    if word is not None and description is None:
        raise ValueError("a word answers round 2, which needs round 1's description")
    prompt = " ".join(prompt.split())  # a newline in a prompt must not look like a new turn
    about = _named(described or [aspect])
    question = _ask("analyse" if prompt else "analyse_without_prompt", aspect=about, prompt=prompt)
    messages: Conversation = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    if description is not None:
        messages += [_text("assistant", description.strip()), _text("user", _ask("rate", aspect=aspect))]
        if word is not None:
            messages.append(_text("assistant", word))
    return messages


def description_of(texts: Mapping[str, str]) -> str:
    """Round 1's answer with these texts, by aspect, in their order: one alone as it is, several each after its name."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return " ".join(f"{aspect.capitalize()}: {text}" for aspect, text in texts.items())


def questions_fingerprint(aspect: str, described: Sequence[str] = ()) -> str:
    """Changes when what the MLLM is asked changes: for the fingerprints of what it answers.

    Where nothing but `aspect` is described, it is what it was before anything else could be.
    """
    others = [] if list(described) in ([], [aspect]) else [_named(described)]
    return fingerprint([aspect, sorted(QUESTIONS.items()), RATING_WORDS, WORD_CUTS, *others])


def _named(aspects: Sequence[str]) -> str:
    """Such as "quality, correspondence and authenticity"."""
    *others, last = aspects
    return f"{', '.join(others)} and {last}" if others else last


def _ask(question: str, **values: str) -> str:
    return Template(QUESTIONS[question]).substitute(values)


def _text(role: str, text: str) -> Message:
    return {"role": role, "content": [{"type": "text", "text": text}]}
