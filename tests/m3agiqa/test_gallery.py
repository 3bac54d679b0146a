"""Scores as a page and on a terminal: nothing that a prompt says becomes HTML."""

import base64
import hashlib
import os
import re

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
    assert page.count("<script") == 1  # ours
    assert page.count("<img") == 4  # ours
    assert "&lt;script&gt;" in page
    assert "<script" not in gallery.panel(rows[0][1])


def test_of_all_scripts_the_policy_allows_ours(rows):
    page = "".join(gallery.gallery(rows))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("script-src") == f"'sha256-{allowed}'"
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert rules.pop("img-src") == "data:"
    assert set(rules.values()) == {"'none'"}
    assert {"default-src", "base-uri", "form-action"} == set(rules)


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


FIND = """() => [...document.querySelectorAll("#images > li")].filter(item => !item.hidden)
    .map(item => item.querySelector("h2").textContent)"""


@pytest.fixture
def opened(tmp_path, browser):
    """A page of six images: two scored alike, one warned of, one without a score, one that failed."""
    found = []
    for name, prompt, score, scores in [
        ("10.png", "a red cube", 4.0, ()),
        ("9.png", "a blue ball", 1.0, ("size: another",)),
        ("b.png", "a red ball", 2.0, ()),
        ("a.png", "", 2.0, ()),
        ("c.png", "a credit card", None, ()),
        ("d.png", "a red cone", 3.0, ("content: odd",)),
    ]:
        picture(3).save(tmp_path / name)
        quality = Score("quality", "refused: why" if score is None else "ok")
        if score is not None:
            quality = Score("quality", "ok", score, (0, 5), "good", f"said of {name}", scores)
        other = Score("authenticity", "ok", 5 - (score or 0), (0, 5), None, "as it is")
        found.append((ListedImage(name, tmp_path / name, prompt), [quality, other]))
    gallery.write(found, tmp_path / "out")
    with browser.new_page() as page:
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.goto((tmp_path / "out/gallery.html").as_uri())
        yield page
        assert errors == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("as listed", ["10", "9", "b", "a", "c", "d"]),
        ("name", ["9", "10", "a", "b", "c", "d"]),
        ("quality, lowest first", ["9", "b", "a", "d", "10", "c"]),
        ("quality, highest first", ["10", "d", "b", "a", "9", "c"]),
        ("authenticity, lowest first", ["10", "d", "b", "a", "9", "c"]),
    ],
)
def test_the_page_is_sorted(opened, order, expected):
    """What has no score comes last; what is alike stays as listed; by a way to any other and back."""
    opened.get_by_label("Order").select_option("quality, highest first")
    opened.get_by_label("Order").select_option(order)
    assert opened.evaluate(FIND) == [f"{name}.png" for name in expected]


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        ("all", "", ["10", "9", "b", "a", "c", "d"]),
        ("with warnings", "", ["9", "d"]),
        ("without a score", "", ["c"]),
        ("all", "RED", ["10", "b", "c", "d"]),
        ("all", "ball red", ["b"]),
        ("all", "said of 9", ["9"]),
        ("with warnings", "red", ["d"]),
        ("all", "nothing of it", []),
        ("all", "refused: why", []),
    ],
)
def test_the_page_is_filtered(opened, kind, words, expected):
    opened.get_by_label("Show").select_option(kind)
    opened.get_by_label("With the words").fill(words)
    assert opened.evaluate(FIND) == [f"{name}.png" for name in expected]
    assert opened.get_by_role("status").text_content() == f"{len(expected)} of 6 shown"


def test_the_page_is_worked_by_keys_alone(opened):
    for _ in range(2):
        opened.keyboard.press("Tab")  # past what the interval and the word mean
    opened.keyboard.press("End")  # the last order: name
    assert opened.evaluate(FIND)[:2] == ["9.png", "10.png"]
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    opened.keyboard.type("cube")
    opened.keyboard.press("Enter")  # which sends nothing anywhere
    assert opened.evaluate(FIND) == ["10.png"]


def test_another_script_does_not_run(rows, tmp_path, browser):
    """Should markup of others get through one day."""
    gallery.write(rows, tmp_path)
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    evil = "<script>document.title='got in'</script><img src=x onerror=\"document.title='got in'\">"
    (tmp_path / "gallery.html").write_text(page.replace("<h1>", f"{evil}<h1>"), encoding="utf-8")
    with browser.new_page() as shown:
        shown.goto((tmp_path / "gallery.html").as_uri())
        assert shown.title() == "Scores of 5 images"
        assert shown.get_by_role("status").text_content() == "5 of 5 shown"  # ours does


def test_without_scripts_all_is_there_and_nothing_to_press(rows, tmp_path, browser):
    gallery.write(rows, tmp_path)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((tmp_path / "gallery.html").as_uri())
        assert page.locator("li").count() == 5
        assert not page.get_by_label("Order").is_visible()
