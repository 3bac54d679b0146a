"""What a teacher is asked, in words: the templates of prompts/, filled in for one question."""

from pathlib import Path
from string import Template

from analyzers.teacher import Question

_TEMPLATES = {
    path.stem: Template(path.read_text(encoding="utf-8").strip())
    for path in (Path(__file__).parent / "prompts").glob("*.txt")
}


def brief(question: Question, *, show_mos: bool) -> str:
    """The request's text. It holds everything that is said about the image, so that its hash stands for all of it."""
    prompt = " ".join(question.prompt.split())
    scores = ", ".join(f"{aspect} {mos:.2f}" for aspect, mos in question.mos.items())
    return _TEMPLATES["ask"].substitute(
        request=_TEMPLATES["request" if prompt else "no_request"].substitute(prompt=prompt),
        aspects="\n".join(_TEMPLATES[aspect].substitute() for aspect in question.mos),
        scores=_TEMPLATES["scores"].substitute(scores=scores) if show_mos else "",
    )


def as_json(question: Question) -> str:
    """The form of the answer in words, for who is held to it by no schema."""
    keys = ", ".join(f'"{aspect}"' for aspect in question.mos)
    return f"Answer with one JSON object and nothing else, each explanation a string under its key: {keys}."
