"""A judge as a reward function of TRL: a language model learns to write prompts whose images the judge likes.

TRL 1.16 trains language models and, since DDPO and AlignProp went out of it, no image generators. So a completion is
a prompt here; images are made of it by whatever the caller gives, and judged. TRL asks for keywords and for a list of
numbers; None stands for a completion without a reward, which its GRPO and RLOO then leave out of the group's mean and
out of the step.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from m3agiqa.errors import InputError
from m3agiqa.given import AnyImage, listed
from m3agiqa.scorer import Scorer

Message = dict[str, Any]  # {"role": …, "content": …}


class ImageReward:
    """One of the `reward_funcs` of GRPOTrainer, RLOOTrainer and their kin; in their logs it is called as its aspect."""

    def __init__(
        self,
        scorer: Scorer,
        generate: Callable[[list[str]], Iterable[AnyImage]],
        *,
        aspect: str,
        wanted: str | None = None,
    ) -> None:
        """A reward by one aspect.

        Args:
            scorer: a fast one, which writes no descriptions, is the one to take.
            generate: makes an image of each of some prompts, in order: `lambda prompts: pipeline(prompts).images`.
            aspect: one of the scorer's.
            wanted: the column of the data set that says what an image is to show, which it is then judged by; without
                one, an image is judged by the very prompt that it was made of.

        Raises:
            InputError: no such aspect.
        """
        scorer.card(aspect)
        self.__name__ = aspect
        self._scorer = scorer
        self._generate = generate
        self._wanted = wanted

    def __call__(self, *, completions: Sequence[str | list[Message]], **columns: Any) -> list[float | None]:
        """A reward for each completion, on 0 to 5; None for an image that gets no score.

        Args:
            completions: prompts, as texts or, of a conversation, as its last messages.
            columns: all else that TRL says, among it the data set's columns: a list as long as `completions` each.

        Raises:
            InputError: no column as `wanted`, or not an image for each prompt.
        """
        prompts = [_text(completion) for completion in completions]
        if self._wanted is not None and self._wanted not in columns:
            raise InputError(f"the data set has no column {self._wanted!r}, which says what an image is to show")
        images = listed(self._generate(prompts), "images")
        if len(images) != len(prompts):
            raise InputError(f"{len(images)} images were made of {len(prompts)} prompts, expected one of each")
        asked = prompts if self._wanted is None else columns[self._wanted]
        scores = self._scorer(images, asked, aspect=self.__name__)
        if log_extra := columns.get("log_extra"):  # TRL's table of completions: there a reward is seen to be missing
            log_extra(f"{self.__name__}_status", [score.status for score in scores])
        return [score.score_0_5 for score in scores]


def _text(completion: str | list[Message]) -> str:
    """What was written: the text, or that of the last message, whose content may come in parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
