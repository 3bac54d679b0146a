"""Folds as one table: each image once, or no row and the reason."""

import numpy as np
import pandas as pd
import pytest

from evaluation import metrics
from evaluation.comparison import FIGURES
from evaluation.folds import pooled

RNG = np.random.default_rng(0)
MOS = RNG.uniform(0, 5, 90)
SCORED = pd.DataFrame(
    {
        "image_id": [f"i{row}" for row in range(90)],
        "prompt": [f"prompt {row // 5}" for row in range(90)],
        "generator": [f"g{row % 3}" for row in range(90)],
        "mos": MOS,
        "predicted": MOS + RNG.normal(0, 1, 90) + 2 * (np.arange(90) // 30),  # each fold's scores lie elsewhere
    }
)


def runs(**changed: object) -> pd.DataFrame:
    """Three folds of one data set; `commit` names a fold's images."""
    same = {"dataset": "d", "on": "d", "aspect": "quality", "protocol": "k-fold", "mllm": "tiny", "head": "mlp"}
    same |= {"variant": "", "split_seed": 0, "distill_seed": 0, "train_seed": 0, "folds": 3, "images": 90}
    own = {"fold": [1, 2, 3], "commit": ["1", "2", "3"]}
    return pd.DataFrame(own).assign(**same, **dict.fromkeys(FIGURES, 0.5)).assign(**changed)


def predictions(commit: str) -> pd.DataFrame:
    return SCORED.iloc[30 * (int(commit) - 1) : 30 * int(commit)]


def test_the_figures_are_those_of_all_images():
    (row,), left_out = pooled(runs(), predictions).table.to_dict("records"), pooled(runs(), predictions).left_out
    assert (row["n"], left_out) == (90, [])
    for name, figure in (
        ("srcc", metrics.srcc),
        ("plcc", metrics.plcc),
        ("krcc", metrics.krcc),
        ("rmse", metrics.rmse),
    ):
        assert row[name] == pytest.approx(figure(SCORED["predicted"], MOS))
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    within = [metrics.srcc(part["predicted"], part["mos"]) for part in map(predictions, "123")]
    assert row["srcc"] < np.mean(within) - 0.1


def test_seeds_are_sets_of_their_own():
    both = pd.concat([runs(), runs(train_seed=1)])
    assert pooled(both, predictions).table["train_seed"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (runs().iloc[[0, 2]], "fold 2 of 3 is missing"),
        (runs(commit=["1", "2", "2"]), "image 'i30' is tested twice"),
        (runs(images=91), "they test 90 images, where the data set has [91]"),
        (runs(train_seed=[0, 0, 1]).iloc[[0, 2]], "fold 2, 3 of 3 is missing"),
        (runs(variant=["", "", "train.lr=1"]), "fold 3 of 3 is missing"),
    ],
)
def test_what_is_no_whole_data_set_is_no_row_and_says_why(chosen, said):
    found = pooled(chosen, predictions)
    assert found.table.empty
    assert found.left_out[0].startswith("tiny, mlp")
    assert said in found.left_out[0]


def test_a_fold_without_predictions_and_other_protocols():
    found = pooled(runs(), lambda commit: None if commit == "2" else predictions(commit))
    assert found.left_out == ["tiny, mlp: 1 of 3 folds have no predictions"]
    assert pooled(runs(protocol="ipce-k"), predictions)[0].empty


def test_of_a_joined_data_set_the_folds_of_one_member_are_whole():
    """With split.on the others' images are for training, and are not tested."""
    (row,) = pooled(runs(dataset="real", on="clive", images=900), predictions).table.to_dict("records")
    assert (row["n"], row["on"]) == (90, "clive")
