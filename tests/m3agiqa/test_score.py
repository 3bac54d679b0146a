"""Scores come back on the scale on which people rated, and on 0 to 5."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from m3agiqa import gallery, score_files
from m3agiqa.aspects import Scale
from m3agiqa.card import read_card, write_card
from m3agiqa.errors import InputError
from m3agiqa.image_list import ListedImage
from m3agiqa.model_card import render
from m3agiqa.score import Interval, Score
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture
from tests.trained import rated_on

IMAGES = [picture(seed) for seed in range(70, 73)]


@pytest.mark.parametrize("scale", [(1.0, 5.0), (0.0, 100.0), (-2.0, 2.0)])
def test_a_score_is_on_the_scale_of_the_data_set(parts, tmp_path, scale):
    before = Scorer(parts, device="cpu")(IMAGES, aspect="quality")
    found = Scorer({"quality": rated_on(scale, parts["quality"], tmp_path)}, device="cpu")(IMAGES, aspect="quality")
    share = (scale[1] - scale[0]) / 5
    for score, known in zip(found, before, strict=True):
        assert score.scale == scale
        assert score.score == pytest.approx(scale[0] + known.score * share)
        assert score.interval == pytest.approx([scale[0] + end * share for end in known.interval])
        assert scale[0] <= score.interval.low <= score.interval.high <= scale[1]
        assert (score.score_0_5, *score.interval_0_5) == pytest.approx((known.score, *known.interval))
    assert [score.score_0_5 for score in before] == [score.score for score in before]  # to the last bit


def test_without_a_score_there_is_none_on_any_scale():
    failed = Score("quality", "failed: why")
    assert failed.score_0_5 is failed.interval_0_5 is None


def test_a_scale_goes_upwards(parts, tmp_path):
    write_card(read_card(parts["quality"].card), tmp_path / "card.json")
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"scale": [5, 1]}))
    with pytest.raises(InputError, match=r"card.json: scale: expected the lowest and the highest score"):
        read_card(tmp_path / "card.json")


@pytest.fixture
def rows(tmp_path):
    picture(1).save(tmp_path / "1.png")
    score = Score("quality", "ok", 4.0, Interval(3.0, 5.0), "good", "said", (), Scale(1.0, 5.0))
    return [score_files.Scored(ListedImage("1.png", tmp_path / "1.png", "a cat"), [score])]


def test_files_table_and_page_show_both(rows, tmp_path):
    score_files.write(rows, tmp_path)
    gallery.write(rows, tmp_path)
    (line,) = (json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines())
    expected = {"score": 4.0, "low": 3.0, "high": 5.0, "scale_low": 1.0, "scale_high": 5.0}
    expected |= {"score_0_5": 3.75, "low_0_5": 2.5, "high_0_5": 5.0}
    assert {name: line[name] for name in expected} == expected
    assert pd.read_csv(tmp_path / "scores.csv")[list(expected)].to_dict("records") == [expected]
    assert " 4.00  (3.00 to 5.00)  good  [1 to 5; 3.75 on 0 to 5]" in gallery.table(rows)
    page = (tmp_path / "gallery.html").read_text()
    assert "4.00</span>" in page
    assert "3.00 to 5.00</span>" in page
    assert "on 1 to 5; 3.75 on 0 to 5</span>" in page
    assert 'left:50.0%;width:50.0%"></i><b style="left:75.0%">' in page


def test_on_0_to_5_nothing_is_said_twice(parts, rows):
    ours = [rows[0]._replace(scores=[Score("quality", "ok", 4.0, Interval(3.0, 5.0), "good", "said")])]
    assert "[" not in gallery.table(ours)
    page = "".join(gallery.gallery(ours))
    assert "on 0 to 5</span>" in page
    assert "; 4.00" not in page
    assert "| scale | 0 (worst) to 5 (best), as people rated its training images |" in render(
        {"quality": read_card(parts["quality"].card)}
    )


def test_the_models_card_names_the_scale(parts, tmp_path):
    card = read_card(rated_on((1, 5), parts["quality"], tmp_path).card)
    assert "| scale | 1 (worst) to 5 (best), as people rated its training images; errors" in render({"quality": card})


def test_a_score_needs_no_torch():
    code = "import sys; import m3agiqa.score, m3agiqa.files; print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"
