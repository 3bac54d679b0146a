"""A scorer in several threads and processes: each gets what one alone gets, and none waits for ever."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from m3agiqa import bundle
from m3agiqa.model_card import render
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

IMAGES = [picture(seed) for seed in range(90, 94)]
PROMPTS = ["a red cube", "two balls", "", "a cone"]
ASPECTS = ("quality", "correspondence")


@pytest.fixture(scope="module")
def expected(parts):
    scorer = Scorer(parts, device="cpu")
    return {aspect: scorer(IMAGES, PROMPTS, aspect=aspect) for aspect in ASPECTS}


def ask(scorer: Scorer, aspect: str):
    return scorer(IMAGES, PROMPTS, aspect=aspect)


def test_the_first_calls_may_come_from_many_threads(parts, expected):
    shared = Scorer(parts, device="cpu")
    scorers = [shared, shared, Scorer(parts, device="cpu")] * 4
    start = threading.Barrier(len(scorers))

    def first_call(number: int):
        start.wait()
        return ask(scorers[number], ASPECTS[number % 2])

    with ThreadPoolExecutor(len(scorers)) as pool:
        found = list(pool.map(first_call, range(len(scorers))))
    assert found == [expected[ASPECTS[number % 2]] for number in range(len(scorers))]


def test_a_used_scorer_is_pickled_as_where_its_parts_lie(parts, expected):
    scorer = Scorer(parts, device="cpu", batch=3)
    ask(scorer, "quality")
    data = pickle.dumps(scorer)
    assert len(data) < 5_000  # no weights
    for again in (pickle.loads(data), copy.deepcopy(scorer)):  # noqa: S301 (our own)
        assert (again.aspects, again.batch, again.device) == (ASPECTS, 3, "cpu")
        assert [score.score for score in ask(again, "quality")] == pytest.approx(
            [score.score for score in expected["quality"]], abs=1e-5
        )


def test_a_process_pool_takes_a_used_scorer(parts, expected, tmp_path, monkeypatch):
    """From a folder named relative to this process's, which is not the workers'."""
    monkeypatch.chdir(tmp_path)
    bundle.pack(parts, Path("packed"), render(bundle.cards(parts)))
    scorer = Scorer.load("packed", device="cpu")
    ask(scorer, "quality")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), os.chdir, ("/",)) as pool:
        assert list(pool.map(ask, [scorer] * 2, ASPECTS)) == [expected[aspect] for aspect in ASPECTS]


FORKED = """
import multiprocessing, sys
import torch
from PIL import Image
from m3agiqa import Scorer
torch.set_num_threads(2)  # whose second does not come along into a forked process
scorer, image = Scorer.load(sys.argv[1], device="cpu"), Image.effect_mandelbrot((32, 32), (-2, -1, 1, 1), 50)
def ask():
    return scorer([image], ["a cube"], aspect="quality")[0].score
expected, context = ask(), multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    found = [pool.apply_async(ask).get(timeout=60) for _ in range(2)]
print(max(abs(score - expected) for score in found) < 1e-4)
"""


def test_a_forked_process_goes_on_with_what_was_loaded(parts, tmp_path):
    bundle.pack(parts, tmp_path / "packed", render(bundle.cards(parts)))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, tmp_path / "packed"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "True\n", ran.stderr
