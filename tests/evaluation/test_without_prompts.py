"""Photographs have no prompts: each is evidence of its own, for every interval."""

import numpy as np
import pandas as pd

from data.splitting.prompts import prompt_groups
from evaluation import bootstrap, conformal
from evaluation.figures import Agreement, prompts_seen

DICE = np.random.default_rng(0)
MOS = DICE.uniform(0, 5, 80)
SCORES = MOS + DICE.normal(0, 0.8, 80)


def table(prompts):
    ids = [f"i{number:02}" for number in range(80)]
    return pd.DataFrame({"image_id": ids, "prompt": prompts, "generator": "", "mos": MOS})


def test_each_is_drawn_on_its_own():
    alone = Agreement(table(""), resamples=200, seed=0)
    assert len(set(alone.sampling["clusters"])) == 80
    drawn = bootstrap.interval(bootstrap.srcc, SCORES, MOS, np.arange(80), resamples=200, seed=0)
    assert alone.model(SCORES)["srcc_ci"] == drawn
    together = Agreement(table("one"), resamples=200, seed=0)
    assert together.model(SCORES)["srcc_ci"] is None


def test_each_counts_as_one_for_the_width_of_the_interval():
    groups = prompt_groups(table(""))
    assert conformal.half_width(SCORES, MOS, groups) == conformal.quantile(np.abs(MOS - SCORES), conformal.LEVEL)
    assert conformal.half_width(SCORES, MOS, prompt_groups(table("one"))) is None


def test_there_are_no_pairs_and_no_prompts_to_have_seen():
    assert Agreement(table(""), resamples=10, seed=0).model(SCORES)["pairs_within_prompt"] is None
    assert prompts_seen(table("").assign(split=["train"] * 40 + ["test"] * 40)) is None


def test_beside_images_of_a_prompt_they_stay_apart():
    mixed = Agreement(table(["a cat"] * 40 + [""] * 40), resamples=10, seed=0)
    assert len(set(mixed.sampling["clusters"])) == 41
