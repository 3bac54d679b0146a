"""Scores as files and as a page: everything is there, and nothing that a prompt says becomes HTML."""

import csv
import json

import pytest

from m3agiqa import gallery
from m3agiqa.image_list import ListedImage
from m3agiqa.scorer import Score
from tests.tiny_mllm import picture

EVIL = "</style><script>document.title='got in'</script><img src=x onerror=\"document.title='got in'\">\u202e\x1b[2J"


@pytest.fixture
def rows(tmp_path):
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        picture(number, 400, 100).save(path)
        scores = [
            Score(aspect, "ok", 2.5 + number, (2, 5), "good", EVIL, (EVIL,)) for aspect in ("quality", "authenticity")
        ]
        found.append((ListedImage(f"{number}{EVIL}.png", path, EVIL), scores))
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    return [*found, (ListedImage("bad.png", bad, ""), [Score("quality", f"failed: {EVIL}")])]


def test_csv_and_jsonl_say_the_same(rows, tmp_path):
    gallery.write(rows, tmp_path / "out")
    with (tmp_path / "out/scores.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(table) == len(lines) == 9
    assert tuple(table[0]) == tuple(lines[0]) == gallery.FIELDS
    for row, line in zip(table, lines, strict=True):
        assert row["prompt"] == line["prompt"]
        assert row["score"] == ("" if line["score"] is None else str(line["score"]))
    assert lines[-1] | {"status": ""} == dict.fromkeys(gallery.FIELDS) | {
        "image": "bad.png",
        "prompt": "",
        "aspect": "quality",
        "status": "",
        "warnings": [],
    }


def test_the_terminal_is_safe_from_control_characters(rows):
    shown = gallery.table(rows)
    assert all(line.isprintable() for line in shown.splitlines())
    assert "… and 5 more images" in gallery.table(rows * 5)


def test_nothing_in_the_page_is_markup_of_others(rows):
    page = "".join(gallery.gallery(rows))
    assert "<script" not in page
    assert page.count("<img") == 4  # ours
    assert "&lt;script&gt;" in page
    assert "<script" not in gallery.panel(rows[0][1])


def test_the_page_in_a_browser(rows, tmp_path, browser):
    gallery.write(rows, tmp_path / "out")
    asked, errors = [], []
    with browser.new_page(viewport={"width": 400, "height": 800}) as page:
        page.on("request", lambda request: asked.append(request.url.split(":")[0]))
        page.on("console", lambda message: errors.append(message.text))
        page.goto((tmp_path / "out/gallery.html").as_uri())
        assert page.title() == "Scores of 5 images"
        assert page.locator("li").count() == 5
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth == 320)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert set(asked) <= {"file", "data"}
    assert errors == []
