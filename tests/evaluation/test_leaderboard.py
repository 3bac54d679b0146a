"""The leaderboard: who stands before whom, and when a difference may be believed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.leaderboard import COLUMNS, leaderboard
from evaluation.leaderboard_pages import leaderboard_pages
from evaluation.metrics import srcc

PUBLISHED = pd.DataFrame(
    {
        "method": ["Theirs", "Others|s"],
        "dataset": "agiqa-3k",
        "aspect": "quality",
        "srcc": ["0.85", "0.10"],
        "plcc": ["0.86", ""],
        "protocol": ["published", "its own"],
        "source": ["a paper", "another"],
    }
)


def predicted(noise: float, split: int = 0, images: int = 240, seed: int = 0) -> pd.DataFrame:
    """A test table of prompts of six; every setting sees the same images of a split, in an order of its own."""
    random = np.random.default_rng(split)
    mos = random.uniform(0, 5, images)
    table = pd.DataFrame(
        {
            "image_id": [f"{split}-{row}" for row in range(images)],
            "prompt": [f"{split}: {row // 6}" for row in range(images)],
        }
    )
    own = np.random.default_rng([split, seed, int(100 * noise)])
    scored = table.assign(mos=mos, predicted=mos + noise * own.normal(size=images))
    return scored.sample(frac=1, random_state=seed)


def board(*given):
    """Of (head, noise, split, train seed) each."""
    tables = {str(number): predicted(noise, split, seed=seed) for number, (_, noise, split, seed) in enumerate(given)}
    task = {"dataset": "agiqa-3k", "on": "agiqa-3k", "aspect": "quality", "protocol": "published"}
    runs = pd.DataFrame(
        [
            task
            | {"mllm": "tiny", "head": head, "variant": "", "commit": commit}
            | {"n": len(tables[commit]), "srcc": srcc(tables[commit]["predicted"], tables[commit]["mos"])}
            | dict.fromkeys(("plcc", "rmse", "pairs_within_prompt", "best_of_prompt"), 0.5)
            for commit, (head, *_) in zip(tables, given, strict=True)
        ]
    )
    return leaderboard(runs, tables.get)


def test_the_best_stands_first_and_the_others_are_held_against_it():
    found = board(("xlstm", 0.5, 0, 0), ("mlp", 3.0, 0, 0), ("gru", 0.51, 0, 0))
    assert list(found.columns) == COLUMNS
    assert found["rank"].tolist() == [1, 2, 3]
    assert found["srcc"].is_monotonic_decreasing
    first, close, far = found.to_dict("records")
    assert first["low"] < first["srcc"] < first["high"]
    assert np.isnan([first["behind"], first["p"]]).all()
    assert far["setting"] == "tiny · mlp"
    assert far["behind"] == pytest.approx(first["srcc"] - far["srcc"])
    assert 0 < far["behind_low"] < far["behind"] < far["behind_high"]
    assert far["p"] < 0.01
    assert close["behind_low"] < 0 < close["behind_high"]
    assert close["p"] > 0.05
    assert far["p_holm"] == pytest.approx(2 * far["p"])


def test_runs_of_a_setting_are_their_mean_and_no_row_each():
    found = board(("xlstm", 0.5, 0, 0), ("xlstm", 0.5, 0, 1), ("mlp", 1.0, 0, 0), ("mlp", 1.0, 1, 0))
    assert found["runs"].tolist() == [2, 2]
    both = [srcc(table["predicted"], table["mos"]) for table in (predicted(0.5, seed=seed) for seed in (0, 1))]
    assert found["srcc"].iloc[0] == pytest.approx(np.mean(both))
    shared = predicted(1.0)  # the first was never tested on the other split
    assert found["behind"].iloc[1] == pytest.approx(np.mean(both) - srcc(shared["predicted"], shared["mos"]))


def test_a_split_with_more_runs_weighs_no_more():
    """Half of a queue is done; one split is far easier, and there both are as good as each other."""
    easy = [("xlstm", 0.3, 0, seed) for seed in range(3)]
    found = board(*easy, ("xlstm", 3.0, 1, 0), ("mlp", 0.31, 0, 0), ("mlp", 3.01, 1, 0))
    means = {
        noise: np.mean([srcc(table["predicted"], table["mos"]) for table in tables])
        for noise, tables in {
            0.3: [predicted(0.3, seed=seed) for seed in range(3)],
            3.0: [predicted(3.0, 1)],
        }.items()
    }
    xlstm = found.set_index("setting").loc["tiny · xlstm"]
    assert xlstm["srcc"] == pytest.approx(np.mean(list(means.values())))
    assert abs(found["behind"].iloc[1]) < 0.03
    assert found["p"].iloc[1] > 0.05


def test_settings_without_common_test_images_are_not_held_against_each_other():
    _, other = board(("xlstm", 0.5, 0, 0), ("mlp", 1.0, 1, 0)).to_dict("records")
    assert np.isnan([other["behind"], other["behind_low"], other["p"], other["p_holm"]]).all()
    assert other["low"] < other["srcc"] < other["high"]


def test_where_predictions_are_lost_the_figures_stay():
    tables = {"a": predicted(0.5), "b": None}
    runs = pd.DataFrame(
        [
            {"dataset": "x", "on": "x", "aspect": "quality", "protocol": "random", "mllm": "tiny", "head": commit}
            | {"variant": "", "commit": commit, "n": 240, "srcc": score}
            | dict.fromkeys(("plcc", "rmse", "pairs_within_prompt", "best_of_prompt"), 0.5)
            for commit, score in (("a", 0.9), ("b", 0.8))
        ]
    )
    _, lost = leaderboard(runs, tables.get).to_dict("records")
    assert lost["srcc"] == 0.8
    assert np.isnan([lost["low"], lost["behind"], lost["p"]]).all()  # on which images, nobody knows


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(3)))
def test_the_order_of_the_runs_changes_nothing(order):
    given = [("xlstm", 0.5, 0, 0), ("mlp", 3.0, 0, 0), ("gru", 1.0, 0, 0)]
    pd.testing.assert_frame_equal(board(*(given[place] for place in order)), board(*given))


def test_pages_have_the_published_figures_where_they_would_rank():
    pages = leaderboard_pages(board(("xlstm", 0.5, 0, 0), ("mlp", 3.0, 0, 0)), PUBLISHED)
    assert pages.keys() == {"leaderboard.html", "leaderboard.md"}
    for text in pages.values():
        places = [text.index(name) for name in ("tiny · xlstm", "Theirs", "tiny · mlp", "Others")]
        assert places == sorted(places)
        assert text.count("≠") == 2  # in the words that explain it, and of the one that has another protocol
    assert "Others\\|s ≠ (another)" in pages["leaderboard.md"]
    rows = [line for line in pages["leaderboard.md"].splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {11}
