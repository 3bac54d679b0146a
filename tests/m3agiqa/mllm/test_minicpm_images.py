"""What MiniCPM-Llama3-V-2.5 is shown of an image, and how the text names it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor

import m3agiqa.mllm.minicpm_llama3_v_2_5  # noqa: F401
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5.image_processing import MiniCPMVImageProcessor
from m3agiqa.mllm.minicpm_llama3_v_2_5.slicing import Slicing, slicing
from tests import tiny_minicpm
from tests.tiny_mllm import picture

VIEW = "<image>" + "<unk>" * tiny_minicpm.QUERIES + "</image>"


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return AutoProcessor.from_pretrained(tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm"))


# Worked out by hand. 448² = 200,704; a grid is (columns, rows).
@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [
        ((448, 448), 9, Slicing((448, 448), None, None)),  # exactly one area
        ((256, 256), 9, Slicing((448, 448), None, None)),  # scaled up
        # r = 1.5: height int(448 / 1.2247) = 365, width int(547.5) = 547; 365 / 14 = 26.07, 547 / 14 = 39.07
        ((30, 20), 9, Slicing((546, 364), None, None)),
        # 1.3 areas, so 2; 1 is no candidate. Grids of 2 and 3: 1×2, 2×1 are both log 2 away, the first wins.
        # A cell of 512 × 256: height int(448 / √2) = 316, width 632; 316 / 14 = 22.57, 632 / 14 = 45.14
        ((512, 512), 9, Slicing((448, 448), (1, 2), (630, 644))),
        # 5.2 areas, so 6. 2×3 and 3×2 are log 1.5 away, in floating point 3×2 a last bit nearer. Width 1024 to a
        # multiple of 3: 1023; a cell of 341 × 512: height int(448 / √(341 / 512)) = 548, width int(364.97) = 364
        ((1024, 1024), 9, Slicing((448, 448), (3, 2), (1092, 1092))),
        ((1024, 1024), 4, Slicing((448, 448), (2, 2), (896, 896))),  # at most 4: 3 and 4 are candidates
        ((1024, 1024), 1, Slicing((448, 448), None, None)),
        # 3.99 areas, so 4; of 5, the grid 5×1 has the image's own shape. Whole: height int(448 / √5) = 200,
        # width 1000; 200 / 14 = 14.29, 1000 / 14 = 71.43: more than 70 columns of patches
        ((2000, 400), 9, Slicing((994, 196), (5, 1), (2240, 448))),
        # 79.7 areas, so 9 at most; 10 is no candidate. 4000 to a multiple of 3: 3999; a cell is square
        ((4000, 4000), 9, Slicing((448, 448), (3, 3), (1344, 1344))),
    ],
)
def test_slicing_worked_out_by_hand(size, most, expected):
    assert slicing(size, max_slices=most, side=448, patch=14) == expected


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(1, 9))
def test_any_image_is_cut_into_whole_patches_of_about_one_area(width, height, most):
    plan = slicing((width, height), max_slices=most, side=448, patch=14)
    views = [plan.whole]
    if plan.grid is not None:
        columns, rows = plan.grid
        assert 2 <= columns * rows <= most
        assert plan.refined[0] % columns == plan.refined[1] % rows == 0
        views.append((plan.refined[0] // columns, plan.refined[1] // rows))
    for across, down in views:
        assert across % 14 == down % 14 == 0
        assert across * down <= 1.6 * 448**2  # a very long view is rounded up to one patch


def test_strips_hold_the_patches_row_by_row():
    image = picture(1, 40, 24)
    inputs = MiniCPMVImageProcessor(scale_resolution=16, patch_size=4)(image, return_tensors="pt")
    plan = slicing(image.size, max_slices=9, side=16, patch=4)
    columns, rows = plan.grid
    assert inputs["grids"].tolist() == [[columns, rows]]
    assert len(inputs["pixel_values"]) == 1 + columns * rows
    width, height = plan.refined[0] // columns, plan.refined[1] // rows
    refined = image.resize(plan.refined, Image.Resampling.BICUBIC)
    views = [image.resize(plan.whole, Image.Resampling.BICUBIC)]
    views += [
        refined.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
        for y in range(rows)
        for x in range(columns)
    ]
    for view, strip, (down, across) in zip(views, inputs["pixel_values"], inputs["tgt_sizes"].tolist(), strict=True):
        pixels = np.asarray(view)
        assert pixels.shape == (4 * down, 4 * across, 3)
        for patch in range(down * across):
            top, left = 4 * (patch // across), 4 * (patch % across)
            expected = pixels[top : top + 4, left : left + 4].transpose(2, 0, 1)
            np.testing.assert_array_equal(strip[:, :, 4 * patch : 4 * patch + 4], expected)
        assert not strip[:, :, 4 * down * across :].any()


def test_an_image_attends_to_as_many_patches_as_its_largest_view_has():
    process = MiniCPMVImageProcessor(scale_resolution=16, patch_size=4)
    images = [picture(1, 40, 24), picture(2, 16, 16), picture(3, 64, 12)]
    together = process(images, return_tensors="pt")
    start = 0
    for image in images:
        alone = process(image, return_tensors="pt")
        most = int(alone["tgt_sizes"].prod(dim=1).max())
        assert "patch_attention_mask" not in alone  # one image pads its views to its own largest
        part = slice(start, start + len(alone["tgt_sizes"]))
        mask = together["patch_attention_mask"][part]
        assert mask[:, :most].all()
        assert not mask[:, most:].any()
        assert (together["pixel_values"][part, :, :, : 4 * most] == alone["pixel_values"]).all()
        start = part.stop
    assert start == len(together["pixel_values"])


def test_arrays_are_taken_as_images_are():
    process = MiniCPMVImageProcessor(scale_resolution=16, patch_size=4)
    image = picture(1, 40, 24)
    of_image, of_array = process(image), process(np.asarray(image))
    assert all((one == other).all() for one, other in zip(of_image.values(), of_array.values(), strict=True))
    assert len(process(image, max_slice_nums=1)["pixel_values"]) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        lambda pixels: pixels / 255,
        lambda pixels: (pixels / 255).astype(np.float32),
        lambda pixels: pixels.astype(np.float64),
        lambda pixels: pixels.astype(np.int64),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1).float() / 255,
    ],
)
def test_pixels_of_any_type_are_the_same_picture(arrays):
    process = MiniCPMVImageProcessor(scale_resolution=16, patch_size=4)
    pixels = np.array(picture(1, 40, 24))
    expected, found = process(pixels)["pixel_values"], process(arrays(pixels))["pixel_values"]
    assert (found == expected).all()


def test_a_grey_array_is_a_grey_picture():
    process = MiniCPMVImageProcessor(scale_resolution=16, patch_size=4)
    grey = picture(1, 40, 24).convert("L")
    assert (process(np.array(grey)[..., None])["pixel_values"] == process(grey)["pixel_values"]).all()


@pytest.mark.parametrize("value", [-0.5, 256.0, np.nan])
def test_pixels_off_the_scale_are_refused(value):
    with pytest.raises(ValueError, match="expected 0 to 255, or 0 to 1"):
        MiniCPMVImageProcessor()(np.full((24, 40, 3), value))


def test_the_chat_is_llama_3s_with_the_views_in_front(processor):
    chat = conversation("quality", "a cat", " Sharp. ")
    question, rating = chat[0]["content"][1]["text"], chat[2]["content"][0]["text"]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    ids = processor(text=text, images=[[picture(1, 64, 24)]], add_special_tokens=False)["input_ids"][0]
    columns, rows = slicing((64, 24), max_slices=9, side=16, patch=4).grid
    assert rows > 1
    slices = "<slice>" + "\n".join([VIEW * columns] * rows) + "</slice>"
    assert processor.tokenizer.decode(ids) == (
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{VIEW}{slices}\n{question}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nSharp.<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{rating}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_an_image_that_is_not_sliced_is_one_view(processor):
    assert (
        processor(text="(<image>./</image>) x", images=picture(1, 16, 16))["input_ids"][0]
        == (processor.tokenizer(f"{VIEW} x")["input_ids"])
    )


def test_plain_messages_are_llama_3s_too(processor):
    text = processor.apply_chat_template([{"role": "user", "content": " Hello "}])
    assert text == "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"


@pytest.mark.parametrize("images", [[], [picture(1), picture(2)]])
def test_images_and_placeholders_must_be_as_many(processor, images):
    with pytest.raises(ValueError, match="number of"):
        processor(text="(<image>./</image>) x", images=images)


def test_what_is_saved_loads_the_same(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(processor)
    assert again.chat_template == processor.chat_template
    text = processor.apply_chat_template(conversation("quality", "a cat"))
    one, other = (each(text=text, images=picture(1, 40, 24), return_tensors="pt") for each in (processor, again))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
