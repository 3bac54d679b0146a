"""The rating word stands beside a score where words went with people's ratings, and nowhere else."""

from dataclasses import replace

import pytest

from m3agiqa.card import read_card, write_card
from m3agiqa.gallery import table
from m3agiqa.image_list import ListedImage
from m3agiqa.mllm.conversation import RATING_WORDS
from m3agiqa.scorer import Scorer
from tests.trained import TRAINING

KNOWN, PROMPT = TRAINING[0]


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (None, True),  # evaluated on another data set's images
        ({"srcc": 0.8, "srcc_ci": [0.7, 0.9]}, True),
        ({"srcc": 0.5, "srcc_ci": None}, True),
        ({"srcc": 0.1, "srcc_ci": [-0.1, 0.3]}, False),
        ({"srcc": None, "srcc_ci": None}, False),  # one word for all images
    ],
)
def test_a_word_that_tells_nothing_is_not_told(parts, tmp_path, measured, told):
    card = read_card(parts["quality"].card)
    figures = {} if measured is None else {"baselines": {"student_word": measured}}
    write_card(card.model_copy(update={"figures": figures}), tmp_path / "card.json")
    scorer = Scorer({"quality": replace(parts["quality"], card=tmp_path / "card.json")}, device="cpu")
    (score,) = scorer([KNOWN], [PROMPT], aspect="quality")
    assert score.status == "ok"
    assert (score.word in RATING_WORDS) == told
    shown = table([(ListedImage("a.png", tmp_path / "a.png", PROMPT), [score])])
    assert "None" not in shown
    assert any(word in shown for word in RATING_WORDS) == told
