"""Images as arrays and tensors: each gets the score of the PNG that it would be saved as."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from m3agiqa.arrays import image_of
from m3agiqa.errors import InputError
from m3agiqa.given import open_image
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

PICTURES = [picture(number, 48, 32) for number in range(3)]


@pytest.fixture(scope="module")
def scorer(parts):
    return Scorer(parts, device="cpu", batch=4)


def as_tensor(image):
    return torch.tensor(np.asarray(image)).permute(2, 0, 1).float() / 255


@given(arrays(np.uint8, st.tuples(st.integers(16, 20), st.integers(16, 20), st.just(3))))
def test_no_value_changes_on_the_way(pixels):
    np.testing.assert_array_equal(np.asarray(open_image(pixels)), pixels)
    np.testing.assert_array_equal(np.asarray(open_image(as_tensor(pixels))), pixels)


def test_grey_and_transparent_ones_are_as_their_files_are():
    grey = np.arange(400, dtype=np.int64).reshape(20, 20).astype(np.uint8)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(np.asarray(open_image(grey)), rgb)
    np.testing.assert_array_equal(np.asarray(open_image(torch.tensor(grey)[None] / 255)), rgb)
    clear = np.concatenate([rgb, np.zeros_like(rgb[:, :, :1])], axis=2)
    assert (np.asarray(open_image(clear)) == 255).all()


def test_a_batch_gets_the_scores_of_its_files(scorer, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for image, path in zip(PICTURES, paths, strict=True):
        image.save(path)
    expected = scorer(paths, aspect="quality")
    assert all(score.status == "ok" for score in expected)
    pixels = np.stack([np.asarray(image) for image in PICTURES])
    tensors = torch.stack([as_tensor(image) for image in PICTURES])
    for batch in (pixels, list(pixels), tensors, list(tensors), tensors.double(), tensors.requires_grad_()):
        assert scorer(batch, aspect="quality") == expected

    reward = scorer.reward(tensors, aspect="quality")
    assert (reward.shape, reward.dtype, reward.requires_grad) == ((3,), torch.float32, False)
    assert reward.tolist() == pytest.approx([score.score_0_5 for score in expected])
    assert torch.equal(scorer.reward(paths, aspect="quality"), reward)
    table = pd.DataFrame(expected)
    assert list(table["score"]) == [score.score for score in expected]


def test_a_reward_that_is_missing_is_not_made_up(scorer):
    with pytest.raises(InputError, match="image 1: failed: image: 8 x 8 is too small"):
        scorer.reward([PICTURES[0], picture(0, 8, 8)], aspect="quality")
    with pytest.raises(InputError, match="image 0: refused: correspondence needs the prompt"):
        scorer.reward(PICTURES, aspect="correspondence")


def test_what_a_network_puts_out_may_lie_a_little_beyond():
    assert np.asarray(image_of(torch.full((3, 20, 20), 1.0005))).min() == 255
    assert np.asarray(image_of(torch.full((3, 20, 20), -0.0005, dtype=torch.float16))).max() == 0


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (np.zeros((20, 20, 3)), r"expected an array \(H, W\).* of uint8, not \(20, 20, 3\) of float64"),
        (np.zeros((3, 20, 20), np.uint8), r"not \(3, 20, 20\) of uint8"),
        (np.zeros(20, np.uint8), r"not \(20,\) of uint8"),
        (torch.zeros(20, 20, 3), r"expected a tensor \(3, H, W\).* of floats, not \(20, 20, 3\) of float32"),
        (torch.zeros(3, 20, 20, dtype=torch.uint8), r"not \(3, 20, 20\) of uint8"),
        (torch.full((3, 20, 20), 1.01), "values outside 0 to 1"),
        (torch.full((3, 20, 20), -1.0), "values outside 0 to 1"),
        (torch.full((3, 20, 20), float("nan")), "values outside 0 to 1"),
    ],
)
def test_numbers_that_do_not_say_what_they_mean_are_refused(scorer, numbers, expected):
    with pytest.raises(InputError, match=expected):
        open_image(numbers)
    (score,) = scorer([numbers], aspect="quality")
    assert score.status.startswith("failed: image: ")
