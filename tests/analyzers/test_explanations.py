import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.explanations import MOST_WORDS, check, parse
from tests.gemini_server import TEXTS

GOOD = TEXTS["quality"]
MOS = {"quality": 3.42, "correspondence": 2.0}

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*MOS, "x"]) | st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_whatever_was_said_each_aspect_is_usable_or_wrong(said):
    usable, wrong = check(said, MOS)
    assert usable.keys() | wrong.keys() == MOS.keys()
    assert not usable.keys() & wrong.keys()
    for text in usable.values():
        assert text == " ".join(text.split())
        assert text.encode()


def test_usable_explanations_come_on_one_line():
    assert check({"quality": f" {GOOD}\n\n{GOOD}", "more": 1}, {"quality": 1.0})[0] == {"quality": f"{GOOD} {GOOD}"}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, "missing"),
        ("not JSON", "no JSON object"),
        ([GOOD], "no JSON object"),
        ({"quality": None}, "not text"),
        ({"quality": [GOOD]}, "not text"),
        ({"quality": {"text": GOOD}}, "not text"),
        ({"quality": GOOD + "\ud800"}, "not text"),
        ({"quality": " \n"}, "empty"),
        ({"quality": "n/a."}, "fewer than"),
        ({"quality": "word " * (MOST_WORDS + 1)}, "more than"),
    ],
)
def test_what_is_no_explanation(said, complaint):
    usable, wrong = check(said, {"quality": 3.42})
    assert not usable
    assert complaint in wrong["quality"]


@pytest.mark.parametrize(
    "repeats",
    [
        "It has a score of 3.",
        "Rated 3.4 by people.",
        "That is 3/5.",
        "I give it 4 out of 5.",
        "MOS: high.",
        "About 3,4.",
        "It deserves three stars.",
        "The mean opinion is high.",
        "3.42",
        "It scores about four here.",
    ],
)
def test_the_score_is_not_to_be_repeated(repeats):
    assert check({"quality": f"{GOOD} {repeats}"}, {"quality": 3.42})[1] == {"quality": "repeats the score"}


@pytest.mark.parametrize(
    "harmless",
    [
        "Three balls are there, and 3 were asked for.",
        "The f/1.8 look blurs it.",
        "It scores well.",
        "A sign says 50.",
        "An underrated beauty of 1912.",
        "Its first-rate sharpness shows in 2 places.",
        "The generate button shows 4.",
    ],
)
def test_numbers_in_the_picture_are_no_score(harmless):
    assert check({"quality": f"{GOOD} {harmless}"}, {"quality": 3.42})[1] == {}


def test_json_or_text():
    assert parse('{"a": 1}') == {"a": 1}
    assert parse("{") == "{"
