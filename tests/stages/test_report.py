"""The report on a made-up data set: what it says, and that a real browser shows it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluation.baselines import LABELS
from pipeline import paths, settings
from report.charts import Axis
from report.examples import SHOWN, chosen
from stages import evaluate, report
from tests.browser import Browser, find
from tests.evaluated import build

HOSTILE = """</style></script><script>document.title='taken'</script><img src=x onerror=alert(1)> {{ 7 * 7 }} & 'co'"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def written(run: settings.Settings) -> str:
    """Evaluate, report, and give the page."""
    evaluate.main(run)
    report.main(run)
    return (paths.RESULTS / "report.html").read_text(encoding="utf-8")


def test_it_says_what_evaluate_found_and_loads_nothing(workplace):
    run = build()
    html = written(run)
    figures = json.loads((paths.EVALUATION).read_text())
    for name in ("srcc", "plcc", "krcc", "rmse", "plcc_fitted"):
        assert f"<b>{figures[name]:.3f}</b>" in html
    names = {name: LABELS[name].replace("'", "&#39;") for name, found in figures["baselines"].items() if found}
    assert [name for name, label in names.items() if label not in html] == []
    for said in ("is simulated", "protocol: prompt-disjoint", "resamples of prompts"):
        assert said in html
    assert html.count("<img ") == 3 * SHOWN
    assert len(html) < 3e6
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html) == []
    assert "<script" not in html
    report.main(run)
    assert (paths.RESULTS / "report.html").read_text(encoding="utf-8") == html


def test_other_peoples_text_stays_text(workplace):
    html = written(build(prompt=HOSTILE, generator="<b>{}</b>"))
    assert html.count("<img ") == 3 * SHOWN
    assert "<script" not in html
    assert "{{ 7 * 7 }}" in html
    assert "&lt;b&gt;0&lt;/b&gt;" in html


def test_what_is_null_is_a_dash(workplace):
    run = build(prompt="", generator="")
    (paths.raw(run.dataset) / "truth.parquet").unlink()
    html = written(run)
    assert "<dd><b>–</b> <small>no interval</small></dd>" in html
    assert "neither truth nor spread" in html
    assert "unknown generator" in html
    assert "no prompt" in html


def test_best_median_and_worst():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"image_id": [f"{number:03}" for number in range(60)], "mos": 3.0})
    rows["predicted"] = 3 + rng.permutation(60) / 60 * rng.choice([-1, 1], 60)
    picked = {kind: (part["predicted"] - 3).abs() * 60 for kind, part in chosen(rows).items()}
    assert [round(error) for error in picked["best"]] == [0, 1, 2, 3, 4, 5]
    assert [round(error) for error in picked["median"]] == [27, 28, 29, 30, 31, 32]
    assert [round(error) for error in picked["worst"]] == [59, 58, 57, 56, 55, 54]
    few = chosen(rows.head(7))
    assert pd.concat(few.values())["image_id"].is_unique


@given(st.floats(-20, 20), st.floats(0.5, 100))
def test_an_axis_has_few_round_ticks_and_keeps_everything_on_the_paper(low, span):
    axis = Axis(low, low + span, 30, 230)
    places = [at for _, at in axis.ticks]
    assert 1 <= len(places) <= 7
    assert places == sorted(places)
    assert all(30 <= at <= 230 for at in [*places, axis(low - 1), axis(low + span + 1)])


@pytest.fixture(scope="module")
def tab():
    if find() is None:
        pytest.skip("no Chromium or Chrome here to show the page in")
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_it(tab, workplace, width):
    written(build())
    tab.open((paths.RESULTS / "report.html").absolute().as_uri(), width)
    assert tab.run("document.documentElement.scrollWidth") <= tab.run("innerWidth") == width  # nothing sticks out
    assert tab.run("document.images.length") == 3 * SHOWN
    assert tab.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert tab.run(
        "[...document.querySelectorAll('svg')].every(drawing => drawing.getBoundingClientRect().height > 10)"
    )
    assert tab.problems == []


def test_a_keyboard_is_enough(tab, workplace):
    written(build(prompt=HOSTILE))
    tab.open((paths.RESULTS / "report.html").absolute().as_uri(), 400)
    tab.press("Tab", 9)
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left") >= 0  # seen once it has the focus
    tab.press("Enter", 13)
    assert tab.run("document.activeElement.id") == "main"
    for _ in range(40):
        tab.press("Tab", 9)
        if tab.run("document.activeElement.tagName") == "SUMMARY":
            break
    tab.press("Enter", 13)
    assert tab.run("document.activeElement.parentElement.open")
    assert tab.run("document.title") == "Quality on synthetic – M3-AGIQA"
    assert tab.problems == []
