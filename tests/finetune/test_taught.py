"""What distillation learns from, made of a row of the tables."""

import pandas as pd
import pytest

from finetune.distill.crops import part_of
from finetune.distill.examples import Examples
from m3agiqa.mllm.conversation import conversation
from tests.distilled import TRAIN, VAL, run
from tests.tiny_mllm import Taught, picture


@pytest.mark.parametrize(
    ("aspect", "word"), [("quality", "excellent"), ("correspondence", "bad"), ("authenticity", "fair")]
)
def test_each_aspect_is_taught_with_its_own_explanation_and_the_word_of_its_own_mos(tmp_path, aspect, word):
    picture(0).save(tmp_path / "a.png")
    row = {"path": "a.png", "prompt": "a cat", "mos_quality": 4.9, "mos_correspondence": 0.1, "mos_authenticity": 2.5}
    row |= {name: f"Of its {name}." for name in ("quality", "correspondence", "authenticity")}
    example = Examples(tmp_path, aspect, pd.DataFrame([row]))[0]
    assert example.conversation == conversation(aspect, "a cat", f"Of its {aspect}.", word)
    assert example.image == picture(0)


def test_an_image_is_cropped_by_the_seed_and_its_place_in_the_run(tmp_path):
    picture(0, 64, 48).save(tmp_path / "a.png")
    row = {"path": "a.png", "prompt": "", "mos_quality": 3.0, "quality": "Sharp."}
    examples = Examples(tmp_path, "quality", pd.DataFrame([row]), crop=0.6, seed=4)
    for place in range(4):
        shown = examples.shown(0, place)
        assert shown.image == part_of(picture(0, 64, 48), 0.6, 4, place)
        assert shown[1:] == examples[0][1:]


def test_train_is_shown_in_parts_by_its_place_and_val_as_it_is(model, tmp_path):
    asked = []

    class Watched(Taught):
        def shown(self, index, place):
            asked.append((index, place))
            return super().shown(index, place)

    class Whole(Taught):
        def shown(self, index, place):
            raise AssertionError("val is shown as it is")

    run(model, tmp_path, train=Watched(TRAIN), val=Whole(VAL))
    assert [place for _, place in asked] == list(range(30))  # 3 epochs of 10
    assert sorted(index for index, _ in asked) == sorted([*range(10)] * 3)
