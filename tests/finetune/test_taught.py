"""What distillation learns from, made of a row of the tables."""

import pandas as pd
import pytest

from finetune.distill.examples import Examples
from m3agiqa.mllm.conversation import conversation
from tests.tiny_mllm import picture


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
