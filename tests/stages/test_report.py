"""The report on a made-up data set: what it says, and that a real browser shows it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.tables.frames import read_table
from evaluation.baselines import LABELS
from evaluation.captions import SHOWN as TOLD
from pipeline import paths, settings
from report.charts import Axis
from report.examples import SHOWN, chosen
from stages import evaluate, report
from tests.browser import Browser, find
from tests.evaluated import build, write_captions

PICTURES = 3 * SHOWN + 2 * TOLD  # of tested images; of one aspect's captions
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
    assert html.count("<img ") == PICTURES
    assert len(html) < 3e6
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html) == []
    assert "<script" not in html
    report.main(run)
    assert (paths.RESULTS / "report.html").read_text(encoding="utf-8") == html


def test_other_peoples_text_stays_text(workplace):
    html = written(build(prompt=HOSTILE, generator="<b>{}</b>"))
    assert html.count("<img ") == PICTURES
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


def taught(html: str) -> str:
    """The section about the teacher."""
    return html[html.index('<section id="captions"') : html.index('<section id="provenance"')]


def test_it_shows_what_was_taught_and_no_test_image_there(workplace):
    run = build()
    said = taught(written(run))
    figures = json.loads((paths.RESULTS / "caption.json").read_text())["aspects"][run.aspect]
    assert f">{figures['mos_from_words']['srcc']:.3f}<" in said
    assert f">{figures['rating_words']['right']:.2f}<" in said
    assert "It was shown the scores" in said
    assert "Nothing that it said was refused" in said
    parts = read_table(paths.splits(run.dataset)).set_index("image_id")["split"]
    shown = re.findall(r" · (i\d{3})", said)
    assert len(set(shown)) == len(shown) == 2 * TOLD
    assert set(parts[shown]) <= {"train", "val"}
    assert said.count("All in all") == len(shown)


def test_it_says_who_saw_no_scores_and_what_was_refused(workplace):
    run = build()
    said = read_table(paths.captions(run.dataset))[["image_id", run.aspect]]
    said[run.aspect] = f"A text of {HOSTILE}."
    refused = {"answer: MAX_TOKENS": 2, "unusable: empty": 4}
    summary = {"failures": {"answer: MAX_TOKENS": 1}, "explanations_refused": refused}
    write_captions(run.dataset, said, saw_scores=False, explanations_that_repeat_the_score=3, **summary)
    html = taught(written(run))
    assert "It was shown no scores" in html
    rows = re.findall(r'row">(\w+: \w+)</th><td class="number">(\d)</td><td class="number">(\d)<', html)
    assert rows == [("answer: MAX_TOKENS", "2", "1"), ("unusable: empty", "4", "0")]
    assert "3 explanations repeat the score" in html
    assert "No clear rating word" in html
    assert "<script" not in html


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
    assert tab.run("document.images.length") == PICTURES
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
