"""Means and paired tests over made-up runs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluation.comparison import FIGURES, paired, summary


def runs(heads=("xlstm", "mlp"), seeds=range(6), one_split=False) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {
            "dataset": "synthetic",
            "on": "synthetic",
            "aspect": "quality",
            "protocol": "prompt-disjoint",
            "mllm": "tiny",
            "head": head,
            "variant": "",
            "split_seed": 0 if one_split else seed,
            "fold": 1,
            "distill_seed": 0,
            "train_seed": seed,
            "n": 150,
            "n_train": 450,
            **dict.fromkeys(FIGURES, 0.8 + 0.01 * seed + 0.02 * (head == "xlstm") + rng.normal(0, 0.004)),
        }
        for head in heads
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_summary_is_mean_and_standard_deviation():
    table = summary(runs()).set_index("head")
    scores = runs().set_index("head").loc["mlp", "srcc"]
    assert table.loc["mlp", "runs"] == 6
    assert table.loc["mlp", "srcc"] == pytest.approx(scores.mean())
    assert table.loc["mlp", "srcc_sd"] == pytest.approx(scores.std(ddof=1))
    assert np.isnan(summary(runs(seeds=[0]))["srcc_sd"]).all()


def test_on_one_split_it_is_the_plain_paired_t_test():
    table = runs(one_split=True).set_index("head")
    (found,) = paired(runs(one_split=True)).to_dict("records")
    expected = stats.ttest_rel(table.loc["mlp", "srcc"], table.loc["xlstm", "srcc"])
    assert (found["one"], found["other"], found["runs"]) == ("tiny · mlp", "tiny · xlstm", 6)
    assert (found["t"], found["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert found["over"] == "training seeds, one split"


def test_overlapping_splits_count_for_less():
    """Six splits with a test part a third of the training part: t shrinks by sqrt((1/6) / (1/6 + 1/3))."""
    plain, corrected = (paired(runs(one_split=alone)).iloc[0] for alone in (True, False))
    assert corrected["difference"] == pytest.approx(plain["difference"])
    assert corrected["t"] == pytest.approx(plain["t"] / np.sqrt(3))
    assert corrected["p"] > plain["p"]
    assert corrected["over"] == "6 splits"


def test_only_runs_with_the_same_seeds_are_pairs():
    odd = pd.concat([runs(heads=["mlp"], seeds=range(4)), runs(heads=["xlstm"], seeds=range(2, 9))])
    assert paired(odd)["runs"].tolist() == [2]
    apart = pd.concat([runs(heads=["mlp"]), runs(heads=["xlstm"]).assign(aspect="authenticity")])
    assert paired(apart).empty


def test_equal_runs_have_no_p():
    same = runs().assign(srcc=0.8)
    assert paired(same)["p"].isna().all()
