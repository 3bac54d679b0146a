"""The data set as a whole: bytes, tables, and what its scores are worth."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import synthetic
from data.synthetic.faults import ASPECTS
from data.synthetic.generators import GENERATORS
from data.synthetic.raters import comment, rate
from m3agiqa.files import folder_sha256
from m3agiqa.images import load_image, pixels_sha256

SETTINGS = {"seed": 7, "prompts": 2, "size": 32, "raters": 6}


def test_two_builds_give_the_same_bytes(tmp_path, monkeypatch):
    seen = []

    def progress(iterable, **labels):
        for item in iterable:
            seen.append(labels)
            yield item

    table = synthetic.build(tmp_path / "one", **SETTINGS, progress=progress)
    monkeypatch.setattr(synthetic, "BATCH", 7)  # two batches: two processes, where there are two cores
    monkeypatch.setattr(synthetic, "A_PROCESS", 1)
    again = synthetic.build(tmp_path / "two", **SETTINGS)
    pd.testing.assert_frame_equal(table, again)
    assert folder_sha256(tmp_path / "one") == folder_sha256(tmp_path / "two")
    assert seen == [{"total": 12, "desc": "draw", "unit": "image"}] * 12

    truth = pd.read_parquet(tmp_path / "one" / "truth.parquet")
    assert list(truth.columns) == ["image_id", "truth_quality", "truth_correspondence", "truth_authenticity"]
    assert list(truth.image_id) == list(table.image_id) == sorted(table.image_id)
    assert table.image_id.is_unique
    assert "p001-aster" in set(table.image_id)
    assert table.prompt.nunique() == 2
    assert set(table.generator) == set(GENERATORS)
    for row in table.itertuples():
        path = tmp_path / "one" / row.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
        assert pixels_sha256(load_image(path)) == row.pixels
    for aspect in ASPECTS:
        assert table[f"mos_{aspect}"].between(0, 5).all()
        assert (table[f"std_{aspect}"] > 0).all()


@pytest.fixture(scope="module")
def drawn():
    """The default data set without its pixels."""
    scenes = synthetic.draw_prompts(1, 100)
    cells = [(i, scene, name) for i, scene in enumerate(scenes) for name in GENERATORS]
    pictures = synthetic.draw_pictures(1, cells)
    truth = pd.DataFrame([picture.truth for picture in pictures])
    mos, _ = rate(truth.to_numpy(), 15, np.random.default_rng(2))
    return pictures, truth, pd.DataFrame(mos, columns=truth.columns), pd.Series([name for *_, name in cells])


def test_aspects_are_not_copies_of_one_another(drawn):
    _, truth, _, _ = drawn
    between = truth.corr("spearman").to_numpy()[np.triu_indices(3, 1)]
    assert np.all(np.abs(between) < 0.6)


def test_scores_spread_and_can_be_reached(drawn):
    _, truth, mos, generator = drawn
    for aspect in ASPECTS:
        assert truth[aspect].between(0, 5).all()
        assert truth[aspect].std() > 1
        assert truth[aspect].groupby(generator).std().min() > 0.5
        assert 0.94 < truth[aspect].corr(mos[aspect], "spearman") < 0.99
        known = mos[aspect].groupby(generator).transform("mean")
        assert 0.35 < known.corr(mos[aspect], "spearman") < 0.65


def test_the_panel_remarks_what_is_wrong(drawn):
    pictures, *_ = drawn
    remarks = [comment(picture, np.random.default_rng(k)) for k, picture in enumerate(pictures)]
    text = " ".join(remarks)
    for words in ("grainy", "blurred", "blocky", "missing", "in place of", "come apart", "lit more", "repeats"):
        assert words in text
    for remark in remarks:
        for sentence in filter(None, remark.split(". ")):
            assert sentence.partition(":")[0] in ASPECTS
    silent = np.mean(["quality:" not in remark for remark in remarks])
    assert 0.02 < silent < 0.1
