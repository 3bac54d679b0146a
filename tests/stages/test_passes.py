"""How often an image goes through the network: what a stage costs. Counted where the model's eyes see it."""

import pytest
from transformers import logging
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMVisionTransformer

from stages import describe, distill, features
from tests import tiny_mllm
from tests.few_images import project

logging.disable_progress_bar()

PROFILE = {"revision": None, "dtype": "float32", "max_length": 300, "max_new_tokens": 8, "fewer_views": []}
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}
IMAGES = 8


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tiny_mllm.smolvlm(tmp_path / "model")  # one view an image
    return project(PROFILE | {"model": str(folder), "lora": LORA}, IMAGES)


@pytest.fixture
def seen(monkeypatch):
    """The number of images of each pass."""
    found, forward = [], SmolVLMVisionTransformer.forward

    def counted(eyes, pixel_values, **options):
        found.append(len(pixel_values))
        return forward(eyes, pixel_values, **options)

    monkeypatch.setattr(SmolVLMVisionTransformer, "forward", counted)
    return found


def test_describe_and_features_see_each_image_once(chosen, seen):
    """The word comes with the states: describe, which has the text alone, does not read what it wrote."""
    chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"batch": 3})})
    distill.main(chosen)
    for stage in (describe, features):
        seen.clear()
        stage.main(chosen)
        assert sorted(seen) == [2, 3, 3], stage.__name__


@pytest.mark.parametrize("few", [None, 2])
def test_distill_learns_from_as_many_at_once_as_runtime_says(chosen, seen, few):
    distill.main(chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"micro_batch": few})}))
    assert sum(seen) == IMAGES
    assert max(seen) == (few or 4)
