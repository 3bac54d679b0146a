"""JSON that people wrote: the object that it is, or one line that says why it is none, however deep it goes."""

import gc
import json
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from m3agiqa.errors import InputError
from m3agiqa.json_objects import MAX_DEPTH, is_deep, read_object

TEXT = st.text(st.sampled_from('[]{}"\\\\a,:'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_what_json_wrote_is_read(values):
    assert read_object(json.dumps(values), "here") == values
    assert read_object(json.dumps(values, ensure_ascii=False).encode("utf-8-sig"), "here") == values


@given(VALUES, st.integers(MAX_DEPTH - 6, MAX_DEPTH + 1))
@example([["[" * 200, '"[\\"['], {"]": []}], MAX_DEPTH - 2)
def test_only_brackets_outside_of_texts_go_deeper(value, around):
    text = "[" * around + json.dumps(value) + "]" * around
    assert is_deep(text) == (depth(value) + around > MAX_DEPTH)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"[": [', "[{"])
def test_what_is_nested_too_deep_is_never_parsed(opening):
    """Near Python's limit of calls the garbage collector's own calls fail, too: CI once stopped at such a message."""
    for closed in (opening * 400, opening * 100_000):
        with pytest.raises(InputError, match=r"^here: not JSON \(nested deeper than 100\)$"):
            read_object(closed, "here")


def test_what_is_just_deep_enough_leaves_room_for_the_garbage_collector():
    class Finalised:
        def __del__(self):
            frames.append(len(json.dumps([[[[]]]])))

    frames: list[int] = []
    text = '{"x": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        circle = [Finalised()]
        circle.append(circle)
        del circle
        assert depth(read_object(text, "here")) == MAX_DEPTH < sys.getrecursionlimit() / 2
    finally:
        gc.set_threshold(*threshold)
    assert frames


@pytest.mark.parametrize("unclosed", ['"' + '\\"' * 50_000, '"' * 100_001, "\\" * 100_000, '["' * 50_000])
def test_texts_without_an_end_are_looked_through_once(unclosed):
    assert isinstance(is_deep("[" * (MAX_DEPTH + 1) + unclosed), bool)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", r"not JSON \(Expecting"),
        (b"\xff{}", r"not JSON \('utf-8' codec"),
        ('{"a": 1, "a": 2}', r"not JSON \('a' is there twice\)"),
        ('{"b": {"a": 1, "a": 2}}', r"not JSON \('a' is there twice\)"),
        ("[1]", "expected an object in braces"),
        ("3", "expected an object in braces"),
    ],
)
def test_what_is_no_object_is_one_line(text, expected):
    with pytest.raises(InputError, match=f"^here: {expected}.*") as refused:
        read_object(text, "here")
    assert "\n" not in str(refused.value)
