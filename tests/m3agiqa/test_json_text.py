"""JSON that people wrote: the object that it is, or one line that says why it is none, however deep it goes."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from m3agiqa.errors import InputError
from m3agiqa.json_text import MAX_DEPTH, is_deep, read_object

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
def test_what_is_nested_too_deep_is_not_even_parsed(opening, monkeypatch):
    """Near Python's limit of calls the garbage collector's own calls fail, too: CI once stopped at such a message."""
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    for deep in (opening * (MAX_DEPTH + 1), opening * 100_000):
        with pytest.raises(InputError, match=r"^here: not JSON \(nested deeper than 100\)$"):
            read_object(deep, "here")


@pytest.mark.parametrize("unclosed", ['"' + '\\"' * 50_000, '"' * 100_001, "\\" * 100_000, '["' * 50_000])
def test_texts_without_an_end_hide_no_bracket_before_them(unclosed):
    """In a moment, too: looked through once for each quotation mark they would take minutes."""
    assert is_deep("[" * (MAX_DEPTH + 1) + unclosed)
    assert not is_deep("[" * (MAX_DEPTH - 1) + '"' + unclosed.replace('"', "") + "[" * MAX_DEPTH)


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
