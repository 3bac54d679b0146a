"""Teacher `mllm`: a vision-language model on this machine, asked what its students will be asked.

It sees no scores and needs no key. Greedy, so asking it again would bring the same words.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from analyzers.teacher import Answer, Question, Usage
from m3agiqa.aspects import ASPECTS
from m3agiqa.files import fingerprint
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import conversation, questions_fingerprint
from m3agiqa.mllm.model import LocalMLLM


@dataclass
class LocalTeacher:
    """The model, and how much it may write about an aspect."""

    model: LocalMLLM
    max_new_tokens: int
    tries: ClassVar[int] = 1

    def key(self, question: Question) -> str:
        words = [self._questions[aspect] for aspect in question.mos]
        return fingerprint([self.model.identity, self.max_new_tokens, question.sha256, question.prompt, words])

    def prepare(self, question: Question) -> Question:
        return question

    def ask(self, question: Question) -> Answer:
        image = load_image(question.path)
        conversations = [conversation(aspect, question.prompt) for aspect in question.mos]
        said = self.model.describe([image] * len(conversations), conversations, self.max_new_tokens)
        return Answer(dict(zip(question.mos, said, strict=True)), "STOP", self.model.name, Usage())

    @cached_property
    def _questions(self) -> dict[str, str]:
        return {aspect: questions_fingerprint(aspect) for aspect in ASPECTS}
