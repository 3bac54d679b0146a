"""Two teachers on the same images: how far they agree, and what a terminal shows of it."""

import numpy as np
import pandas as pd
import pytest

from data.tables.frames import write_table
from evaluation.two_teachers import compared
from m3agiqa.mllm.conversation import RATING_WORDS, word_of
from pipeline import paths
from report.two_teachers import WIDTH, nothing_in_common, told

IMAGES = 80
SAID = ("nothing can be made out", "much is missing", "half of it is there", "most is right", "all is just so")
IDS = [f"{number:02}" for number in range(IMAGES)]
MOS = np.random.default_rng(1).uniform(0, 5, IMAGES).round(3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set of images of which one in five is tested."""
    monkeypatch.chdir(tmp_path)
    prompts = [f"ball {number // 4}" for number in range(IMAGES)]
    write_table(pd.DataFrame({"image_id": IDS, "prompt": prompts, "mos_quality": MOS}), paths.samples("folder"))
    split = ["test" if number // 4 % 5 == 0 else "train" for number in range(IMAGES)]
    write_table(pd.DataFrame({"image_id": IDS, "split": split}), paths.splits("folder"))
    return {image_id for image_id, part in zip(IDS, split, strict=True) if part != "test"}


def texts(text):
    return pd.DataFrame({"image_id": IDS, "quality": [text(mos, number) for number, mos in enumerate(MOS)]})


def telling(mos, number):
    return f"{'Once more' if number % 2 else 'Looked at'}, {SAID[RATING_WORDS.index(word_of(mos))]}."


def chatting(_mos, number):
    return " ".join(np.random.default_rng(number).choice(["blue", "red", "ball", "sea", "sun", "sand"], 12))


def test_the_same_words_agree_in_everything(folder):
    one = compared("folder", texts(telling), texts(telling))["quality"]
    assert one.images == len(folder)
    assert one.between.srcc == pytest.approx(1)
    assert one.mos[0] == one.mos[1]
    assert one.gain.srcc == 0
    assert (one.shared, one.words[0]) == (1, one.words[1])


def test_who_tells_more_of_the_scores_is_ahead(folder):
    one = compared("folder", texts(telling), texts(chatting))["quality"]
    assert one.mos[0].srcc > 0.9
    assert one.gain.srcc_ci[0] > 0
    assert one.gain.srcc == pytest.approx(one.mos[0].srcc - one.mos[1].srcc, abs=0.002)
    assert one.between.srcc_ci[0] < one.between.srcc < 0.6
    assert one.shared == 0
    assert one.words[1] == 12
    assert len(one.differing) == 3
    assert set(one.differing["image_id"]) <= folder  # no test image
    off = (one.differing["reading_1"] - one.differing["reading_2"]).abs()
    assert list(off) == sorted(off, reverse=True)


def test_what_only_one_has_described_is_left_out(folder):
    few = texts(telling).set_index("image_id").loc[sorted(folder)[:12]].reset_index()
    assert compared("folder", texts(chatting), few)["quality"].images == 12
    assert compared("folder", texts(chatting), few.head(0)) == {}
    assert nothing_in_common({"one": 1200, "two": 0}) == (
        "no image has been described by both: one has 1,200, two has 0"
    )


def test_a_terminal_has_room_for_it(folder):
    found = compared("folder", texts(telling), texts(lambda mos, number: 40 * telling(mos, number)))
    found["correspondence"] = found["quality"]
    lines = told({"offline": True, "a teacher with a name": False}, found).splitlines()
    assert max(map(len, lines)) <= WIDTH == 120
    assert lines[:2] == [
        "1: offline, which was shown the scores",
        "2: a teacher with a name, which was shown no scores",
    ]
    (heading,) = (line for line in lines if line.startswith("aspect") and "images" in line)
    (row,) = (line for line in lines if line.startswith("quality") and " to " in line and "+" not in line)
    assert len(heading) == len(row)
    assert f"{found['quality'].mos[1].srcc:.3f} (" in row
    assert sum(line.startswith("  2: ") for line in lines) == 6


def test_what_cannot_be_told_is_a_dash(folder):
    same = texts(lambda *_: "It is a picture of something.")
    found = compared("folder", same, same)
    assert found["quality"].between.srcc is None
    assert "–" in told({"one": None, "two": None}, found)
    assert "which may have seen the scores" in told({"one": None, "two": None}, found)
