"""benchmarks/cross_fitting in small: three students of a few thousand weights, a dozen images, to its last line."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from transformers import logging

from benchmarks import cross_fitting
from tests.described import build

logging.disable_progress_bar()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Five train, three val and four test images, each of a prompt of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    values = build(None, images=12).model_dump()
    values["distill"]["warmup"] = 0.0  # a half's only step teaches something
    values["mllms"]["tried"]["recipe"]["lr"] = 0.1
    values["evaluate"]["bootstrap"] = 20
    Path("params.yaml").write_text(json.dumps(values))


def test_every_variant_is_measured_and_nothing_is_left(project, capsys):
    before = sorted(Path().rglob("*"))
    cross_fitting.main(["--aspect", "quality"])
    sizes, *lines = capsys.readouterr().out.splitlines()
    assert sizes.endswith(", quality, seeds (0, 1, 2): 5 train, 3 val, 4 test")
    taught, shifts, (head, rule, *rows) = lines[:3], lines[3:6], lines[6:]
    for line, start, read in zip(taught, ["all: 5", "first half: 3", "second half: 2"], [12, 9, 10], strict=True):
        assert line.startswith(f"{start} images taught, ")
        assert line.endswith(f" s to describe and read {read}")  # all images, or all but those that it was taught
    assert all(float(re.search(r": ([\d.]+) of the images' spread", line)[1]) > 0 for line in shifts)
    assert [row.split(" | ")[0] for row in rows] == [
        "| as it is",
        "| cross-fitted, then the student of all",
        "| cross-fitted, then both",
    ]
    assert {row.count("|") for row in (head, rule, *rows)} == {15}
    assert all(re.search(r" \| – \| 1\.000 ± 0\.000 \| \d+ \|$", row) for row in rows)  # 3 val images: no half width
    assert sorted(Path().rglob("*")) == before


def test_no_prompt_is_in_both_halves():
    images = pd.DataFrame({"image_id": [f"i{row:02}" for row in range(24)], "split": ["train"] * 20 + ["val"] * 4})
    images["prompt"] = [f"cat {row // 4}" for row in range(24)]
    halves = cross_fitting._halves(images)
    assert halves[20:].eq("").all()
    assert halves[:20].groupby(images["prompt"]).nunique().eq(1).all()
    assert dict(halves[:20].value_counts()) == {"first half": 12, "second half": 8}
