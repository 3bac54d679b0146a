"""Images are scored together by how long their sequences are, whatever they come as; one that is none stands last."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from m3agiqa.batches import batches
from m3agiqa.card import read_card, write_card
from m3agiqa.errors import InputError
from m3agiqa.given import open_image, size_of
from m3agiqa.mllm.conversation import conversation
from m3agiqa.parts import fitter
from tests import tiny_minicpm
from tests.tiny_mllm import picture

SIDES = (32, 64, 96)  # px: a view, or more of them; the length of such images is known exactly


@pytest.fixture(scope="module")
def slicing(parts, tmp_path_factory):
    """A part whose model takes a large image in many views."""
    folder = tmp_path_factory.mktemp("slicing")
    card = read_card(parts["quality"].card)
    profile = card.mllm.model_copy(update={"model": str(tiny_minicpm.minicpm(folder / "model")), "max_length": 512})
    write_card(card.model_copy(update={"mllm": profile}), folder / "card.json")
    return replace(parts["quality"], card=folder / "card.json", mllm=None)


@pytest.fixture(scope="module")
def uneven():
    """Images of many sizes, with prompts whose length says nothing of that."""
    random = np.random.default_rng(0)
    sizes = random.choice(SIDES, (30, 2)).tolist()
    images = [picture(number, width, height) for number, (width, height) in enumerate(sizes)]
    return images, ["cat " * number for number in random.integers(1, 9, 30).tolist()]


def test_little_is_padded_and_the_longest_come_first(slicing, uneven):
    images, prompts = uneven
    cut = batches(slicing, images, prompts, 4)
    assert sorted(row for rows in cut for row in rows) == list(range(30))
    assert [len(rows) for rows in cut] == [4] * 7 + [2]
    its = fitter(slicing, read_card(slicing.card))
    lengths = []
    for image, prompt in zip(images, prompts, strict=True):
        asked = [conversation("quality", prompt)]
        lengths.append(its.chat.tensors([image], asked, padding_side="right", answer=True)["input_ids"].shape[1])
    ordered = [lengths[row] for rows in cut for row in rows]
    assert ordered == sorted(lengths, reverse=True)
    assert sum(max(lengths[row] for row in rows) * len(rows) for rows in cut) < 1.15 * sum(lengths)


def test_the_same_images_make_the_same_batches_whatever_they_come_as(slicing, uneven, tmp_path):
    images, prompts = uneven
    cut = batches(slicing, images, prompts, 4)
    files = [tmp_path / f"{row}.png" for row in range(len(images))]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    arrays = [np.asarray(image) for image in images]
    tensors = [torch.from_numpy(array.transpose(2, 0, 1) / 255) for array in arrays]
    for given in (files, [str(file) for file in files], [file.read_bytes() for file in files], arrays, tensors):
        assert [size_of(image) for image in given] == [open_image(image).size for image in given]
        assert batches(slicing, given, prompts, 4) == cut


def test_what_is_no_image_or_no_prompt_has_a_place(slicing, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    odd = [b"", b"no image", tmp_path / "bad.png", "nowhere.png", "a\0b", None, 3.5, np.zeros(5), {"a": 1}]
    assert [size_of(image) for image in odd] == [None] * len(odd)
    images, prompts = [*odd, *[picture(1, 64, 64)] * 4], [None, float("nan"), "\ud800", 7, *[""] * 9]
    cut = batches(slicing, images, prompts, 2)
    assert sorted(row for rows in cut for row in rows) == list(range(13))
    assert {row for rows in cut[:2] for row in rows} == {9, 10, 11, 12}


def test_what_fits_in_one_batch_needs_no_order(slicing, parts):
    nowhere = replace(parts["quality"], card="nowhere")
    assert batches(nowhere, ["a.png", "b.png"], ["", "a cat"], 2) == [[0, 1]]
    assert batches(nowhere, [], [], 2) == []
    with pytest.raises(InputError, match="nowhere"):
        batches(nowhere, ["a.png", "b.png"], ["", "a cat"], 1)


def test_a_turned_photograph_has_a_place_too(slicing):
    """As its header has it, not as it is shown: near enough."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    picture(1, 64, 24).save(file, "JPEG", exif=exif)
    assert size_of(file.getvalue()) == (64, 24)
    assert open_image(file.getvalue()).size == (24, 64)
