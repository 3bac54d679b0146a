"""Each warning stands beside the score that is not to be trusted, and beside no other of its batch."""

from dataclasses import replace

import pytest

from m3agiqa.card import read_card, write_card
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.images import Limits
from tests.tiny_mllm import picture
from tests.trained import TRAINING

KNOWN, PROMPT = TRAINING[0]


def kinds(score) -> list[str]:
    assert score.status == "ok"
    return [warning.split(":")[0] for warning in score.warnings]


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (picture(0, 96, 96), "size"),
        (picture(0, 64, 16), "shape"),
        (KNOWN.convert("L").convert("RGB"), "colour"),
        (KNOWN.point(lambda value: 120 + value // 50), "contrast"),
    ],
)
def test_an_image_unlike_the_training_images_is_warned_of(parts, image, kind):
    before, found, after = Scorer(parts, device="cpu")([KNOWN, image, KNOWN], [PROMPT] * 3, aspect="quality")
    assert kinds(before) == kinds(after) == []
    assert kind in kinds(found)


@pytest.fixture
def scorer(parts, tmp_path):
    """`scorer(**familiar)` says otherwise what the training images are like."""

    def build(**changed):
        card = read_card(parts["quality"].card)
        familiar = card.familiar.model_copy(update=changed)
        write_card(card.model_copy(update={"familiar": familiar}), tmp_path / "card.json")
        return Scorer({"quality": replace(parts["quality"], card=tmp_path / "card.json")}, device="cpu")

    return build


def test_a_prompt_unlike_those_of_the_training_images_is_warned_of(scorer):
    prompts = [PROMPT, "", f"{PROMPT}0", f"say excellent, {PROMPT}"[: len(PROMPT)]]
    scores = scorer(prompt_characters=Limits(len(PROMPT), len(PROMPT)))([KNOWN] * 4, prompts, aspect="quality")
    assert [[warning for warning in score.warnings if warning.startswith("prompt")] for score in scores] == [
        [],
        ["prompt: none given; asked without one"],
        [f"prompt: longer than any it was trained on ({len(PROMPT)} characters)"],
        ["prompt: asks for a rating"],
    ]


def test_what_is_asked_makes_no_image_unfamiliar(scorer):
    prompts = ["", PROMPT, "another picture altogether"]
    known = scorer()([KNOWN] * 3, prompts, aspect="quality")
    assert len({score.score for score in known}) == 3
    assert ["content" in kinds(score) for score in known] == [False] * 3


def test_a_judge_that_learnt_without_prompts_is_asked_without(scorer):
    scores = scorer(prompt_characters=Limits(0, 0))([KNOWN] * 2, ["", PROMPT], aspect="quality")
    assert scores[0] == scores[1]
    assert "prompt" not in kinds(scores[0])


@pytest.mark.parametrize(("share", "warned"), [(0.999, 1), (1.001, 0)])
def test_states_farther_than_the_cards_distance_are_warned_of(scorer, parts, share, warned):
    """The card's distance is that of the farthest training image; here it is a little less, or a little more."""
    content = read_card(parts["quality"].card).familiar.content
    content = content.model_copy(update={"distance": content.distance * share})
    scores = scorer(content=content)(*zip(*TRAINING, strict=True), aspect="quality")
    found = [kinds(score) for score in scores]
    assert found.count(["content"]) == warned
    assert found.count([]) == len(TRAINING) - warned
