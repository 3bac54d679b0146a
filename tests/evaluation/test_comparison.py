"""Means and paired tests over made-up runs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluation.comparison import FIGURES, holm, paired, summary


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
    assert found["over"] == "6 seeds of train, one split"


def test_overlapping_splits_count_for_less():
    """Six splits with a test part a third of the training part: t shrinks by sqrt((1/6) / (1/6 + 1/3))."""
    plain, corrected = (paired(runs(one_split=alone)).iloc[0] for alone in (True, False))
    assert corrected["difference"] == pytest.approx(plain["difference"])
    assert corrected["t"] == pytest.approx(plain["t"] / np.sqrt(3))
    assert corrected["p"] > plain["p"]
    assert corrected["over"] == "6 splits"


def test_seeds_within_a_split_are_no_independent_pairs():
    """Settings that do not differ, 5 splits × 3 seeds of training: as many false alarms as promised, not twice as many.

    The splits' differences are correlated by as much as Nadeau and Bengio take them to be, n_test / (n_test + n_train).
    """
    trials, splits, seeds, shared = 400, 5, 3, 0.25
    random = np.random.default_rng(4)
    own = random.normal(size=(trials, splits, 1)) + random.normal(0, 0.5, (trials, splits, seeds))
    apart = own.mean(axis=2).std()  # of the splits' means
    common = random.normal(0, apart * np.sqrt(shared / (1 - shared)), (trials, 1, 1))
    differences = (own + common).ravel()
    trial, split, seed = (place.ravel() for place in np.indices(own.shape))
    one = runs(heads=["xlstm"], seeds=[0]).drop(columns=["dataset", "split_seed", "train_seed", "srcc", "n", "n_train"])
    one = pd.concat([one] * own.size, ignore_index=True)
    one = one.assign(dataset=trial, split_seed=split, train_seed=seed, n=100, n_train=300, srcc=differences)
    tests = paired(pd.concat([one, one.assign(head="mlp", srcc=0.0)]))
    assert (len(tests), set(tests["over"]), set(tests["runs"])) == (trials, {"5 splits"}, {15})
    bound = 2.58 * np.sqrt(0.05 * 0.95 / trials)  # 99 %
    assert (tests["p"] < 0.05).mean() == pytest.approx(0.05, abs=bound)


@pytest.mark.parametrize(
    ("seeds", "over"), [((3, 2), "3 seeds of distill, one split"), ((1, 4), "4 seeds of train, one split")]
)
def test_on_one_split_the_test_is_over_what_differs_outermost(seeds, over):
    table = pd.concat(
        runs(seeds=range(seeds[1]), one_split=True).assign(distill_seed=distill) for distill in range(seeds[0])
    )
    rng = np.random.default_rng(2)
    table["srcc"] += rng.normal(0, 0.01, len(table))
    (found,) = paired(table).to_dict("records")
    assert (found["over"], found["runs"]) == (over, seeds[0] * seeds[1])
    level = "distill_seed" if seeds[0] > 1 else "train_seed"
    means = table.groupby(["head", level])["srcc"].mean()
    assert found["p"] == pytest.approx(stats.ttest_rel(means["mlp"], means["xlstm"]).pvalue)


def test_many_tests_are_allowed_for():
    """Holm's by hand: the smallest times four, the next times three, …, and none below one before it."""
    found = holm(pd.Series([0.01, np.nan, 0.04, 0.03, 0.005, 0.9]))
    assert found.tolist() == pytest.approx([0.04, np.nan, 0.09, 0.09, 0.025, 0.9], nan_ok=True)
    three, one = paired(runs(heads=("mlp", "lstm", "xlstm"))), paired(runs())
    assert three["p_holm"].min() == pytest.approx(3 * three["p"].min())
    assert one["p_holm"].tolist() == one["p"].tolist()


def test_only_runs_with_the_same_seeds_are_pairs():
    odd = pd.concat([runs(heads=["mlp"], seeds=range(4)), runs(heads=["xlstm"], seeds=range(2, 9))])
    assert paired(odd)["runs"].tolist() == [2]
    apart = pd.concat([runs(heads=["mlp"]), runs(heads=["xlstm"]).assign(aspect="authenticity")])
    assert paired(apart).empty


def test_equal_runs_have_no_p():
    same = runs().assign(srcc=0.8)
    assert paired(same)["p"].isna().all()
