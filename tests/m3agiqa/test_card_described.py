"""A card says of which aspects its student writes, where these are not its own alone."""

import json

import pytest

from m3agiqa.card import read_card, write_card
from m3agiqa.errors import InputError
from m3agiqa.model_card import render


def test_a_card_of_before_is_read_and_written_as_it_was(parts, tmp_path):
    text = parts["quality"].card.read_text(encoding="utf-8")
    assert "described" not in json.loads(text)
    found = read_card(parts["quality"].card)
    assert (found.described, found.max_new_tokens) == ((), found.mllm.max_new_tokens)
    write_card(found, tmp_path / "card.json")
    assert (tmp_path / "card.json").read_text(encoding="utf-8") == text
    assert "describes" not in render({"quality": found})


def test_several_aspects_stand_in_it_in_their_order(parts, tmp_path):
    found = read_card(parts["quality"].card).model_copy(update={"described": ("correspondence", "quality")})
    write_card(found, tmp_path / "card.json")
    again = read_card(tmp_path / "card.json")
    assert again.described == ("correspondence", "quality")
    assert again.max_new_tokens == 2 * again.mllm.max_new_tokens
    assert "| describes | correspondence, quality |" in render({"quality": again})


def test_an_unknown_one_is_refused(parts, tmp_path):
    values = json.loads(parts["quality"].card.read_text(encoding="utf-8")) | {"described": ["quality", "beauty"]}
    (tmp_path / "card.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match=r"described\.1: .*'beauty'"):
        read_card(tmp_path / "card.json")
