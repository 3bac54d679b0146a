"""The published test lists, on the real label files where they are at hand."""

from pathlib import Path

import pandas as pd
import pytest

from data.splitting.prompts import prompt_groups
from data.splitting.protocols import split
from data.splitting.published import lists_of, on_list
from data.splitting.settings import Split
from data.tables.frames import joined
from evaluation import baselines, metrics
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import RATING_WORDS, word_of

LABELS = Path(__file__).parents[3] / "shared/data"
SHARES = {"seed": 0, "val": 0.12, "test": 0.25, "folds": 6}
IPCE_SIZES = (600, 598, 595, 597, 597, 593, 593, 598, 593, 594)


@pytest.fixture(scope="module")
def agiqa() -> pd.DataFrame:
    """AGIQA-3K as the pipeline's samples, without its images."""
    path = LABELS / "agiqa-3k/data.csv"
    if not path.exists():
        pytest.skip(f"the label file of AGIQA-3K is not at {path}")
    labels = pd.read_csv(path)
    return pd.DataFrame(
        {
            "image_id": labels["name"].str.removesuffix(".jpg"),
            "path": "images/" + labels["name"],
            "prompt": labels["prompt"],
            "generator": labels["name"].str.replace(r"_\d+\.jpg$", "", regex=True),  # sd1.5_lowstep, sd1.5_highcorr, …
            "mos_quality": labels["mos_quality"],
            "mos_correspondence": labels["mos_align"],
        }
    )


def test_sizes_without_any_label_file():
    agiqa = {name: len(files) for name, files in lists_of("agiqa-3k").items()}
    ipce = {f"ipce-{number}": size for number, size in enumerate(IPCE_SIZES, start=1)}
    assert agiqa == {"quality": 597, "correspondence": 597, **ipce}
    assert {name: len(files) for name, files in lists_of("aigciqa2023").items()} == {"all": 600}


def test_the_lists_are_those_of_the_published_files():
    if not LABELS.exists():
        pytest.skip(f"the published splits are not at {LABELS}")
    agiqa, aigciqa = lists_of("agiqa-3k"), lists_of("aigciqa2023")
    published = pd.read_csv(LABELS / "agiqa-3k/published_split.csv", index_col="name")
    assert agiqa["quality"] == set(published.index[published["test_quality"] == 1])
    assert agiqa["correspondence"] == set(published.index[published["test_correspondence"] == 1])
    ipce = pd.read_csv(LABELS / "agiqa-3k/prompt_disjoint_splits.csv", index_col="name")
    assert all(agiqa[f"ipce-{k}"] == set(ipce.index[ipce[f"split{k}"] == 1]) for k in range(1, 11))
    published = pd.read_csv(LABELS / "aigciqa2023/published_split.csv", index_col="name")
    assert aigciqa["all"] == set(published.index[published["test"] == 1])


def test_published_splits_each_aspect_on_its_own(agiqa):
    parts = split(agiqa, "agiqa-3k", Split(protocol="published", fold=1, **SHARES))
    assert len(parts) == 2982
    for aspect in ("quality", "correspondence"):
        counts = joined(agiqa, parts, aspect)["split"].value_counts()
        assert counts["test"] == 597
        assert abs(counts["val"] - 0.12 * 2982) <= 1
    both = (parts["split_quality"] == "test") & (parts["split_correspondence"] == "test")
    assert (parts["split"] == "test").equals(both)
    assert both.sum() == 127


@pytest.mark.parametrize("fold", range(1, 11))
def test_no_prompt_of_an_ipce_test_list_is_seen(agiqa, fold):
    parts = agiqa.merge(split(agiqa, "agiqa-3k", Split(protocol="ipce-k", fold=fold, **SHARES)), on="image_id")
    assert (parts["split"] == "test").sum() == IPCE_SIZES[fold - 1]
    crossing = parts.assign(group=prompt_groups(parts))[["group", "split"]].drop_duplicates()
    assert crossing["group"].is_unique


def test_every_published_test_prompt_is_seen_in_training(agiqa):
    parts = joined(agiqa, split(agiqa, "agiqa-3k", Split(protocol="published", fold=1, **SHARES)), "quality")
    train, test = (set(parts.loc[parts["split"] == part, "prompt"]) for part in ("train", "test"))
    assert test <= train


@pytest.mark.parametrize(("aspect", "expected"), [("quality", 0.738), ("correspondence", 0.647)])
def test_the_generator_mean_alone_reaches_what_was_measured(agiqa, aspect, expected):
    """A predictor without pixels, trained on all that is not tested; a generator's settings make it another generator.

    With the six generators alone it is 0.599 and 0.618.
    """
    splits = split(agiqa, "agiqa-3k", Split(protocol="published", fold=1, **SHARES))
    table = joined(agiqa, splits, aspect).rename(columns={f"mos_{aspect}": "mos"})
    table["split"] = table["split"].replace("val", "train")
    test = table["split"] == "test"
    rows = baselines.Rows(table, pd.DataFrame(index=table.index), *[table[[]].to_numpy()] * 2)
    predicted = baselines.generator_mean(rows)[test]
    assert metrics.srcc(predicted, table.loc[test, "mos"]) == pytest.approx(expected, abs=5e-4)


def test_the_correspondence_words_are_not_the_quality_words(agiqa):
    """In the published training files every correspondence word is the quality word."""
    quality, correspondence = (agiqa[f"mos_{aspect}"].map(word_of) for aspect in ("quality", "correspondence"))
    assert 0.3 < (quality != correspondence).mean() < 0.7
    assert (correspondence == pd.cut(agiqa["mos_correspondence"], [-1, 1, 2, 3, 4, 5], labels=RATING_WORDS)).mean() == 1


def test_an_incomplete_data_set_is_refused():
    few = pd.DataFrame({"image_id": ["0"], "path": ["images/0.png"]})
    with pytest.raises(InputError, match=r"600 images of the published test list 'all', such as '1.png', are not in"):
        on_list(few, "aigciqa2023", "all")


def test_an_unknown_list_is_refused():
    few = pd.DataFrame({"image_id": ["0"], "path": ["images/0.png"]})
    with pytest.raises(InputError, match=r"no published test list 'ipce-1', only all"):
        on_list(few, "aigciqa2023", "ipce-1")
