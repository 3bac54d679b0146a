import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.explanations import MOST_WORDS, REPEATS, check, parse
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


def test_the_score_is_not_to_be_repeated():
    assert check({"quality": f"{GOOD} A solid\nfour."}, {"quality": 3.42}) == ({}, {"quality": REPEATS})
    assert check({"quality": f"{GOOD} Taken at f/1.8."}, {"quality": 1.8}).wrong == {}


OBJECT = {"quality": f'{GOOD} "So {{it}} is".', "correspondence": "Two [of] them."}
WRITTEN = json.dumps(OBJECT)


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        json.dumps(OBJECT, indent=2),
        f"```json\n{WRITTEN}\n```",
        f"[{WRITTEN}]",
        f"{WRITTEN}}}",
        f"{{{WRITTEN}}}",
        f"Here it is: {WRITTEN}",
        f"Here {{as asked}} it is: {WRITTEN} I hope that {{this}} helps.",
        f"\ufeff{WRITTEN}\n\n{WRITTEN}",
        WRITTEN.replace(" is", "\n is"),
    ],
    ids=["plain", "indented", "fence", "list", "closing", "opening", "before", "around", "twice", "line-break"],
)
def test_the_object_that_stands_there(text):
    found = parse(text)
    assert check(found, MOS) == check(OBJECT, MOS)
    assert found.keys() == OBJECT.keys()


plain = st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]))
objects = st.dictionaries(st.text(), st.text() | st.dictionaries(st.text(), st.text()), min_size=1)


@given(plain, objects, st.text())
def test_what_stands_around_an_object_does_no_harm(before, said, after):
    assert parse(before + json.dumps(said) + after) == said


@given(plain, objects, st.data())
def test_nothing_is_taken_out_of_an_object_that_is_cut_off(before, said, data):
    whole = json.dumps(said)
    cut = before + whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert parse(cut) == cut


@pytest.mark.parametrize("text", ["", "{", "no JSON", "[1, 2]", "{}", '{"a": {"quality": "x"}, b}', '{"a":' * 100_000])
def test_no_object_no_change(text):
    assert parse(text) == text
