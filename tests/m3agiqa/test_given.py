"""What callers give: whatever has an order counts by position, and one item of another kind stops no other."""

import base64
import io
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from m3agiqa.errors import InputError
from m3agiqa.given import brief, listed, open_image, text_of
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.prompts import NO_PROMPT
from tests import tiny_mllm
from tests.tiny_mllm import picture
from tests.trained import trained

PROMPTS = [f"{number} red cubes" for number in range(6)]


@pytest.fixture(scope="module")
def scorer(parts):
    return Scorer(parts, device="cpu", batch=4)


@pytest.fixture
def table(tmp_path):
    """Six images with their prompts, and what each gets."""
    for number in range(6):
        picture(80 + number).save(tmp_path / f"{number}.png")
    return pd.DataFrame({"image": [str(tmp_path / f"{number}.png") for number in range(6)], "prompt": PROMPTS})


def values(scores):
    return [score.score for score in scores]


def test_columns_of_a_shuffled_or_filtered_table_go_by_position(scorer, table):
    expected = np.array(values(scorer(list(table.image), list(table.prompt), aspect="quality")))
    assert len(set(expected)) == 6
    shuffled = table.sample(frac=1, random_state=3)
    assert list(shuffled.index) != sorted(shuffled.index)
    found = values(scorer(shuffled.image, shuffled.prompt, aspect="quality"))
    assert found == pytest.approx(expected[shuffled.index], abs=1e-5)
    few = table[table.index % 2 == 1]
    found = values(scorer(few.image, few.prompt, aspect="quality"))
    assert found == pytest.approx(expected[[1, 3, 5]], abs=1e-5)
    unlike = values(scorer(few.image, table.prompt[:3], aspect="quality"))  # labels 1, 3, 5 and 0, 1, 2
    assert unlike == values(scorer(list(few.image), PROMPTS[:3], aspect="quality"))


@pytest.mark.parametrize("kind", [tuple, np.array, deque, iter, lambda items: (item for item in items), pd.Index])
def test_any_sequence_will_do(scorer, table, kind):
    expected = scorer(list(table.image), PROMPTS, aspect="quality")
    assert scorer(kind(list(table.image)), kind(PROMPTS), aspect="quality") == expected


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("cat.png", "a str"),
        (b"\x89PNG", "a bytes"),
        (picture(1), "an Image"),
        ({"cat.png": "a cat"}, "a dict"),
        (None, "a NoneType"),
        (pd.DataFrame({"image": ["cat.png"]}), "a DataFrame"),
        (np.zeros((32, 32, 3), np.uint8), "a ndarray"),
        (torch.zeros(3, 32, 32), "a Tensor"),
    ],
)
def test_one_image_in_the_place_of_a_list_is_one_line(scorer, given, kind):
    with pytest.raises(InputError, match=f"images: expected a list of them, not {kind}"):
        scorer(given, aspect="quality")
    with pytest.raises(InputError, match="prompts: expected a list of them, not a str"):
        scorer([picture(1)] * 5, "a cat", aspect="quality")


def test_an_unknown_prompt_is_none_however_it_is_written(scorer):
    unknown = [None, "", float("nan"), np.nan, pd.NA, pd.NaT]
    for score in scorer([picture(1)] * 6, unknown, aspect="quality"):
        assert (score.status, NO_PROMPT in score.warnings) == ("ok", True)
    assert {score.status for score in scorer([picture(1)] * 6, unknown, aspect="correspondence")} == {
        "refused: correspondence needs the prompt"
    }


def data_address() -> str:
    """As a column of a web page's export has it; 4 kB, more than a path may have."""
    with io.BytesIO() as buffer:
        picture(1, 64, 64).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_bad_items_stop_no_other(scorer, table):
    closed = Image.open(table.image[0])
    closed.close()
    bad = [data_address(), "x" * 300, "no\0name.png", None, float("nan"), 7, np.zeros((8, 8, 3)), closed, b"", "."]
    images = [table.image[0], *bad, table.image[1]]
    found = scorer(images, ["a cube"] * len(images), aspect="quality")
    assert values(found)[::11] == pytest.approx(values(scorer(table.image[:2], ["a cube"] * 2, aspect="quality")))
    for score in found[1:-1]:
        assert score.status.startswith("failed: ")
        assert len(score.status) < 400
    assert found[1].status.endswith("not to be opened (File name too long)")
    assert (
        found[4].status == "failed: image: expected a path, bytes, an array, a tensor or Pillow's image, not a NoneType"
    )


def test_a_prompt_of_another_kind_stops_no_other(scorer):
    given = ["a cube", 3, "half \udcff", ["a", "list"], np.zeros(2), "a sphere"]
    found = scorer([picture(1)] * 6, given, aspect="quality")
    assert [score.status[:6] for score in found] == ["ok", *["failed"] * 4, "ok"]
    assert found[1].status == "failed: prompt: expected text, not an int"
    assert found[2].status == "failed: prompt: character 6 is no Unicode text"


def test_a_strip_that_the_models_processor_refuses_stops_no_other(tmp_path):
    """Qwen's raises a ValueError of its own where one side is more than 200 times the other."""
    parts = trained(tiny_mllm.qwen3_vl(tmp_path / "qwen"), tmp_path)
    found = Scorer(parts, device="cpu")([picture(1), picture(2, 16, 3300)], PROMPTS[:2], aspect="quality")
    assert [score.status[:6] for score in found] == ["ok", "failed"]
    assert "aspect ratio" in found[1].status


def test_long_texts_lose_their_middle():
    assert brief("x" * 300) == "x" * 300
    assert len(brief("x" * 10**6)) < 310
    assert brief("a" * 400 + "z").endswith("z")


def test_helpers_take_numpys_kinds(table):
    assert listed(np.array(["a", "b"]), "images") == ["a", "b"]
    assert text_of(np.str_("a cat")) == "a cat"
    assert open_image(np.str_(table.image[0])).size == open_image(bytearray(Path(table.image[0]).read_bytes())).size
