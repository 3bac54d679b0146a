"""What is said of many scores at once, and what scores mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa import gallery
from m3agiqa.aspects import Scale
from m3agiqa.image_list import ListedImage
from m3agiqa.judging import REFUSED
from m3agiqa.mllm.conversation import RATING_WORDS
from m3agiqa.score import Interval, Score
from m3agiqa.summary import meaning, percent, summaries
from m3agiqa.warnings.images import CONTENT
from m3agiqa.warnings.prompts import NO_PROMPT

HUNDRED = Scale(0.0, 100.0)


def scored(value: float, *warnings: str, word: str | None = "good", scale: Scale = HUNDRED) -> Score:
    return Score("quality", "ok", value, Interval(0.0, 100.0), word, "said", warnings, scale)


def test_a_line_says_how_many_have_a_score_and_how_many_are_unlike():
    found = [
        scored(20.0, NO_PROMPT),
        scored(60.0, "size: 10 pixels; trained on 500", NO_PROMPT),
        scored(70.0, CONTENT),
        Score("quality", REFUSED.format("size")),  # unlike, and for that without a score
        Score("quality", "failed: no image"),  # nobody knows
        Score("correspondence", "refused: correspondence needs the prompt"),
    ]
    quality, correspondence = map(str, summaries(found))
    scores = "3 of 5 images have a score, from 20.00 to 70.00, mean 50.00, on 0 to 100"
    assert quality == f"quality: {scores}; 75 % unlike the training images"
    assert correspondence == "correspondence: 0 of 1 images have a score"


def test_what_scores_mean_is_said_of_what_is_there():
    score, interval, word = meaning(summaries([scored(1.0)]))
    assert "quality from 0 (worst) to 100 (best). On 0 to 5 is the same" in score
    assert "90 %" in interval
    assert all(each in word for each in RATING_WORDS)
    of_five = meaning(summaries([scored(1.0, word=None, scale=Scale(0.0, 5.0))]))
    assert len(of_five) == 2
    assert "quality from 0 (worst) to 5 (best)." in of_five[0]
    assert "stretched" not in of_five[0]
    assert meaning(summaries([Score("quality", "failed: x")])) == meaning([]) == []


@given(st.integers(0, 2_000), st.integers(1, 2_000))
def test_nothing_and_all_are_said_of_nothing_and_all_alone(part, whole):
    part = min(part, whole)
    said = int(percent(part, whole).removesuffix(" %"))
    assert abs(said - 100 * part / whole) <= 1
    assert (said == 0) == (part == 0)
    assert (said == 100) == (part == whole)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_terminal_and_page_say_it_of_all_images_where_there_are_several(tmp_path, count):
    rows = [(ListedImage("a.png", tmp_path / "a.png", ""), [scored(float(row), CONTENT)]) for row in range(count)]
    line = f"quality: {count} of {count} images have a score"
    shown = gallery.table(rows)
    page = "".join(gallery.gallery(rows, 1))
    for text in (shown, page):
        assert (line in text) == (count > 1)
        assert "from 0 (worst) to 100 (best)" in " ".join(text.split())
    assert max(map(len, shown.splitlines())) <= 100
    assert "What the interval and the word mean" in gallery.panel([scored(3.0)])
