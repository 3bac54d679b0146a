"""Scores as a page and on a terminal: nothing that a prompt says becomes HTML."""

import os

import pytest

from m3agiqa import gallery
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Score
from m3agiqa.score_files import Scored
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


def test_a_name_that_is_not_utf_8_is_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    rows = [Scored(ListedImage(name, tmp_path / name, name), [Score("quality", f"failed: {name}")])]
    gallery.write(rows, tmp_path)
    assert r"caf\udce9.png" in (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert gallery.table(rows).encode()


def test_the_page_holds_the_first_images_however_many_there_are(rows, tmp_path):
    def page(count: int, **how: int) -> str:
        gallery.write([rows[0]] * count, tmp_path, **how)
        return (tmp_path / "gallery.html").read_text(encoding="utf-8")

    many, few = page(1000), page(200)
    assert len(many) == pytest.approx(len(few), abs=300)
    assert many.count("<img") == gallery.ON_THE_PAGE == 200
    assert "These are the first 200 images. The other 800 are not shown here" in many
    assert "not shown" not in few
    assert page(7, on_the_page=3).count("<img") == 3
    assert "first 0 images. The other 7 are not" in page(7, on_the_page=0)


def test_a_long_name_does_not_fill_the_page(tmp_path):
    name = "data:image/png;base64," + "A" * 100_000
    rows = [Scored(ListedImage(name, tmp_path / name, ""), [Score("quality", "failed: too long")])]
    assert len("".join(gallery.gallery(rows))) < 10_000
    assert len(gallery.table(rows)) < 1_000


def test_the_terminal_is_safe_from_control_characters(rows):
    shown = gallery.table(rows)
    assert all(line.isprintable() for line in shown.splitlines())
    assert "… and 5 more images" in gallery.table(rows * 5)


def test_why_there_is_no_score_fits_a_terminal(rows):
    why = f"refused: {'a reason that is long, ' * 12}and no score"
    shown = gallery.table([(rows[0][0], [Score("quality", why)])]).splitlines()[1:]
    assert shown[0].startswith("  quality        refused: a reason")
    assert max(map(len, shown)) <= 100
    assert " ".join(line.strip() for line in shown).endswith("and no score")


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
