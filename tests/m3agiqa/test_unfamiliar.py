"""A judge of rendered scenes gives no score to other pictures, unless it is told to; one of real pictures warns."""

from dataclasses import replace

import pytest

from m3agiqa.card import read_card, write_card
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture
from tests.trained import TRAINING

KNOWN, PROMPT = TRAINING[0]
LARGE = picture(0, 96, 96)


@pytest.fixture
def simulated(parts, tmp_path):
    """The parts of a judge whose training images were rendered."""
    card = read_card(parts["quality"].card).model_copy(update={"world": "simulated"})
    write_card(card, tmp_path / "card.json")
    return {"quality": replace(parts["quality"], card=tmp_path / "card.json")}


def test_it_refuses_what_it_would_warn_of_and_says_which_judge_to_take(parts, simulated):
    asked = [KNOWN, LARGE, KNOWN.convert("L").convert("RGB")], [PROMPT] * 3
    real = Scorer(parts, device="cpu")(*asked, aspect="quality")
    known, large, grey = Scorer(simulated, device="cpu")(*asked, aspect="quality")
    assert known == real[0]
    for found, warned, why in ((large, real[1], "size"), (grey, real[2], "colour")):
        assert warned.status == "ok"
        assert why in [warning.partition(":")[0] for warning in warned.warnings]
        assert found.status.startswith("refused: unlike the rendered scenes")
        assert why in found.status
        assert "without --dataset or --bundle" in found.status
        assert (found.score, found.interval, found.word, found.description) == (None, None, None, None)


def test_it_can_be_told_to_score_them_all_the_same(parts, simulated):
    asked = [KNOWN, LARGE], [PROMPT] * 2
    assert Scorer(simulated, device="cpu", unfamiliar=True)(*asked, aspect="quality") == Scorer(parts, device="cpu")(
        *asked, aspect="quality"
    )
