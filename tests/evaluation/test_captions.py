"""How much texts tell of the MOS: where they do, where they do not, and where there is nothing to find."""

import numpy as np
import pandas as pd
import pytest

from data.tables.frames import write_table
from evaluation.captions import by_words, figures, measured, rated
from m3agiqa.mllm.conversation import RATING_WORDS, word_of
from pipeline import paths

IMAGES = 120
SAID = ("nothing can be made out", "much is missing", "half of it is there", "most is right", "all is just so")


def made_up(text, images=IMAGES, prompts=30):
    """Rows as `rated` gives them; `text` is called with the MOS, the image's number and its prompt's."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {"mos": rng.uniform(0, 5, images).round(3), "group": np.arange(images) * prompts // max(images, 1)}
    )
    rows["text"] = [text(mos, number, group) for number, (mos, group) in enumerate(rows.itertuples(index=False))]
    return rows.assign(image_id=[f"{number:03}" for number in range(images)], prompt="")


def telling(mos, _number, _group):
    return f"Looked at, {SAID[RATING_WORDS.index(word_of(mos))]}."


def noise(_mos, number, _group):
    return " ".join(np.random.default_rng(number).choice(["blue", "red", "ball", "sea", "sun", "sand"], 12))


def test_words_that_go_with_the_score_are_found_without_any_rating_word():
    found = figures(made_up(telling))
    low, high = found["mos_from_words"]["srcc_ci"]
    assert 0.9 < low <= found["mos_from_words"]["srcc"] <= high
    assert found["rating_words"] == {"texts": 0, "decided": 0, "right": None, "within_one": None, "usual": None}
    assert (found["texts"], found["different_texts"]) == (IMAGES, len(SAID))
    assert found["words"]["q05"] <= found["words"]["median"] <= found["words"]["q95"]


def test_words_that_have_nothing_to_do_with_it_tell_nothing():
    low, high = figures(made_up(noise))["mos_from_words"]["srcc_ci"]
    assert low < 0 < high


def test_a_prompts_own_words_tell_nothing_of_it():
    """What a text says of one image of a prompt must not be read off the others, whose scores are alike."""
    rows = made_up(lambda _mos, _number, group: f"This is thing{group}.")
    rows["mos"] = np.random.default_rng(2).uniform(0, 5, 30).round(3)[rows["group"]]
    assert (figures(rows)["mos_from_words"]["srcc"] or 0) < 0.3


def test_one_text_for_all_has_no_order():
    """Not even the wrong one: a fold's own mean is high where the scores held out of it are low."""
    found = figures(made_up(lambda *_: "It is a picture of something."))
    assert found["mos_from_words"] == found["mos_from_length"] == {"srcc": None, "srcc_ci": None}


def test_the_number_of_words_stands_beside_it():
    found = figures(made_up(lambda mos, *_: "word " * (60 - int(10 * mos))))
    assert found["mos_from_length"]["srcc"] < -0.95


def test_readings_are_on_the_scale_of_the_scores():
    rows = made_up(telling)
    read = by_words(rows)
    assert rows["mos"].min() <= read.min() <= read.max() <= rows["mos"].max()
    assert abs(np.mean(read - rows["mos"])) < 0.05


def test_rating_words_against_the_mos():
    def text(mos, number, _group):
        if number % 4 == 0:
            return "Not bad at all."
        if number % 4 == 1:
            return "A picture without a verdict."
        return f"Overall {word_of(mos if number % 4 == 2 else abs(mos - 1))}."

    found = figures(made_up(text))["rating_words"]
    assert (found["texts"], found["decided"]) == (IMAGES * 3 // 4, IMAGES // 2)
    assert 0.5 <= found["right"] < 0.7
    assert found["within_one"] == 1
    assert 0.2 <= found["usual"] < 0.5


def test_examples_show_low_to_high_and_those_that_differ_most():
    rows = made_up(telling)
    odd = rows["mos"].idxmax()
    rows.loc[odd, "text"] = telling(0, None, None)
    examples = figures(rows)["examples"]
    shown = [one["image_id"] for part in examples.values() for one in part]
    assert len(shown) == len(set(shown)) == 6
    scores = [one["mos"] for one in examples["by_mos"]]
    assert scores == sorted(scores)
    assert examples["differing"][0]["image_id"] == rows.loc[odd, "image_id"]
    assert abs(examples["differing"][0]["by_words"] - examples["differing"][0]["mos"]) > 2


@pytest.mark.parametrize("images", [0, 1, 2, 3])
def test_hardly_any_text_is_no_figure_and_no_noise(images, caplog):
    found = figures(made_up(telling, images, prompts=1))
    assert found["texts"] == images
    assert found["mos_from_words"]["srcc"] is None
    assert len(found["examples"]["by_mos"]) == images
    assert found["examples"]["differing"] == []
    assert not caplog.records


def test_the_same_again():
    assert figures(made_up(noise)) == figures(made_up(noise))


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Eight images, of which one is tested, one on quality alone, one has no MOS and one no text."""
    monkeypatch.chdir(tmp_path)
    ids = [str(number) for number in range(8)]
    mos = pd.Series([1.0, 2, 3, 4, 5, 1, 2, 3]).where(pd.Series(ids) != "2")
    samples = {"path": "", "prompt": [f"ball {number // 2}" for number in range(8)], "pixels": ids}
    write_table(
        pd.DataFrame({"image_id": ids} | samples | {"mos_quality": mos, "mos_authenticity": 3.0}),
        paths.samples("folder"),
    )
    split = ["test", *["train"] * 6, "val"]
    own = pd.Series(split).mask(pd.Series(ids) == "1", "test")
    write_table(pd.DataFrame({"image_id": ids, "split": split, "split_quality": own}), paths.splits("folder"))
    said = pd.DataFrame({"image_id": ids, "quality": "Some text.", "authenticity": "Another text."})
    said.loc[3, "quality"] = None
    write_table(said, paths.captions("folder"))
    return said


def test_only_what_is_rated_and_not_tested_counts(tables):
    rows = rated(paths.samples("folder"), paths.splits("folder"), tables, "quality")
    assert list(rows["image_id"]) == ["4", "5", "6", "7"]
    assert list(rows["group"]) == [0, 0, 1, 1]
    rows = rated(paths.samples("folder"), paths.splits("folder"), tables, "authenticity")
    assert list(rows["image_id"]) == ["1", "2", "3", "4", "5", "6", "7"]


def test_every_aspect_of_the_data_set_is_measured(tables):
    found = measured("folder")
    assert {aspect: one["texts"] for aspect, one in found.items()} == {"quality": 4, "authenticity": 7}
