"""The caption stage with models of random weights: short questions, and whatever they write is usable.

As a module it runs the stage so, for the tests of several processes.
"""

from string import Template

import pytest

from analyzers import brief, explanations, mllm
from pipeline.stage import stage
from stages import caption

SHORT = {"ask": "$request $aspects $scores", "request": "$prompt", "quality": "quality", "correspondence": "prompt"}


def make_short(patch: pytest.MonkeyPatch) -> None:
    """A tokenizer that knows few words makes a thousand tokens of a teacher's question."""
    patch.setattr(brief, "_TEMPLATES", {name: Template(text) for name, text in SHORT.items()})
    patch.setattr(mllm, "ALONE", "Write.")
    patch.setattr(mllm, "as_json", lambda question: f"JSON {len(question.mos)}")
    patch.setattr(mllm, "whole_sentences", lambda text: text)
    patch.setattr(explanations, "FEWEST_LETTERS", 0)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patched:
        make_short(patched)
        stage(caption.main)
