"""Rating words in prose: what counts, what is left undecided, what is none."""

import pytest

from evaluation.verdicts import verdict

BAD, POOR, FAIR, GOOD, EXCELLENT = range(5)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("All in all the quality is poor.", POOR),
        ("EXCELLENT!", EXCELLENT),
        ("The sky is good. The hands are bad. Overall it is fair", FAIR),  # the last sentence with one
        ("Overall a good picture, good in every way. Nothing else stands out.", GOOD),
        ("It is not blurred. A good picture.", GOOD),  # another sentence's denial
        ("Nothing is missing, and the match is good.", GOOD),
    ],
)
def test_a_clear_word(text, level):
    assert verdict(text) == (True, level)


@pytest.mark.parametrize(
    "text",
    [
        "The picture is not good.",
        "It isn't a very good match.",
        "This is far from excellent.",
        "Hardly good.",
        "Good sharpness, bad light.",
        "The light is fair, the shapes are not good",
    ],
)
def test_what_is_denied_or_at_odds_is_left_undecided(text):
    assert verdict(text) == (True, None)


@pytest.mark.parametrize("text", ["", "Edges are fairly crisp.", "The goods are badly lit.", "Unfair, ungood.", "fır"])
def test_no_word(text):
    assert verdict(text) == (False, None)
