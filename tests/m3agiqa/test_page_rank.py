"""Candidates on the demo's page in a real browser: their order, ties, two of them, what is refused; by keys, narrow."""

import re
from dataclasses import replace
from importlib.util import find_spec

import pytest
from PIL import Image

from m3agiqa.bundle import cards, pack
from m3agiqa.card import read_card, write_card
from m3agiqa.model_card import render
from m3agiqa.scorer import Scorer
from tests.m3agiqa.demo import shown
from tests.tiny_mllm import picture

EVIL = "<img src=x onerror=document.title=1>.png"
PROMPT = f"a red cube {EVIL}"

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is in requirements-demo.txt")


@pytest.fixture(scope="module")
def bundle(parts, tmp_path_factory):
    """A judge that is sure of small differences in quality, and knows nothing of how sure to be of correspondence."""
    folder = tmp_path_factory.mktemp("judge")
    judge = {}
    for aspect, spread in (("quality", 0.05), ("correspondence", None)):
        judge[aspect] = replace(parts[aspect], card=folder / f"{aspect}.json")
        card = read_card(parts[aspect].card)
        preference = card.head.preference.model_copy(update={"spread": spread})
        head = card.head.model_copy(update={"preference": preference})
        write_card(card.model_copy(update={"head": head}), judge[aspect].card)
    pack(judge, folder / "bundle", render(cards(judge)))
    return folder / "bundle"


@pytest.fixture(scope="module")
def address(bundle, tmp_path_factory):
    with shown(bundle, tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture
def page(browser, address):
    with browser.new_page(viewport={"width": 1200, "height": 900}) as page:
        page.set_default_timeout(20_000)
        page.goto(address)
        page.get_by_role("tab", name="Rank").click()
        page.wait_for_selector("#rank-go")
        yield page


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number in range(9):
        picture(60 + number).save(folder / f"{number}.png")
    picture(60).save(folder / "again.png")
    picture(60).save(folder / EVIL)
    (folder / "bad.png").write_text("no image at all")
    Image.new("1", (8000, 8000)).save(folder / "huge.png")
    return folder


def ranked(page, files, *names, prompt=PROMPT):
    """What is shown once these are ranked."""
    page.set_input_files("#rank-images input[type=file]", [files / name for name in names])
    page.get_by_label("Their prompt").fill(prompt)
    for name in names:
        page.locator("#rank-images").get_by_text(name.rpartition(".")[0], exact=True).first.wait_for()
    page.click("#rank-go")
    page.wait_for_selector("#rank-shown .ranks, #rank-shown [role=alert]")
    return page.locator("#rank-shown")


def test_candidates_stand_in_the_judges_order(page, address, files, bundle):
    outside, errors = [], []
    page.on("request", lambda request: request.url.startswith(address) or outside.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    names = ["0.png", "1.png", "2.png", "3.png", "again.png", EVIL]
    found = ranked(page, files, *names)
    judged = Scorer.load(bundle, device="cpu").rank([files / name for name in names], PROMPT, aspect="quality")
    best_first = sorted(zip(names, judged, strict=True), key=lambda each: -each[1].score.score)
    assert found.locator("h2").all_inner_texts() == [name for name, _ in best_first]
    for place, (name, each) in zip(found.locator(".place").all_inner_texts(), best_first, strict=True):
        assert place.startswith(f"Rank {each.rank}, the best with a probability of ")
        said = re.search(r"(less|more)? ?t?h?a?n? ?(\d+) %", place)
        assert float(said[2]) == pytest.approx(100 * each.best, abs=1.01)
        tied = {other for other, its in best_first if its.rank == each.rank and other != name}
        told = place.partition("cannot be told apart from ")[2]
        assert {other for other in names if other in told} == tied
    assert len({each.rank for _, each in best_first}) > 1
    twice = next(each for name, each in best_first if name == "again.png")
    assert len([each for _, each in best_first if each.rank == twice.rank]) >= 3  # one picture with three names
    assert found.locator(".score .value").count() == 6
    assert "of the training images" in found.locator(".score").first.inner_text()
    assert page.evaluate("[...document.querySelectorAll('.ranks img')].every(image => image.naturalWidth > 0)")

    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.title() == "Score AI-generated images"  # no name and no prompt is markup
    assert (outside, errors) == ([], [])


def test_of_two_it_says_which_one_people_prefer(page, files):
    found = ranked(page, files, "0.png", "1.png")
    sentence = found.locator(".preferred").inner_text()
    assert re.fullmatch(r"People prefer [01]\.png with a probability of (more than )?\d+ %(: the two .*)?\.", sentence)
    assert sentence.split()[2] == found.locator("h2").first.inner_text()
    page.get_by_label("Clear").first.click()
    found = ranked(page, files, "0.png", "again.png")
    page.get_by_text("the two cannot be told apart").wait_for()
    assert "with a probability of 50 %: the two cannot be told apart." in found.locator(".preferred").inner_text()
    assert [place.split(",")[0] for place in found.locator(".place").all_inner_texts()] == ["Rank 1", "Rank 1"]


def test_bad_files_are_named_and_the_others_ranked(page, files):
    found = ranked(page, files, "bad.png", "0.png", "huge.png", "1.png")
    assert sorted(found.locator("h2").all_inner_texts()) == ["0.png", "1.png"]
    assert found.locator(".preferred").count() == 1
    told = found.locator("[role=alert]").all_inner_texts()
    assert [line.partition(": ")[0] for line in told] == ["bad.png", "huge.png"]
    assert "not an image" in told[0]
    assert "more than 50,000,000 pixels" in told[1]
    assert not re.search(r"[/\\]\w+[/\\]", found.inner_text())  # of where they lie, nothing


def test_what_is_refused_is_one_line(page, files):
    page.click("#rank-go")
    page.get_by_text("Choose images first.").wait_for()
    told = ranked(page, files, *(f"{number}.png" for number in range(9)))
    page.get_by_text("These are 9 images: at most 8 can be ranked at once.").wait_for()
    assert told.locator(".ranks").count() == 0
    page.get_by_label("Clear").first.click()
    page.get_by_label("correspondence").check()
    ranked(page, files, "0.png", "1.png")
    page.get_by_text("the judge of correspondence had too few images to learn how sure an order is").wait_for()
    assert told.locator(".ranks").count() == 0


def test_it_is_worked_by_keys_alone(browser, address, files):
    def here():
        return page.evaluate("(document.activeElement.closest('[id]') || document.activeElement).id")

    def on_to(name):
        for _ in range(20):
            page.keyboard.press("Tab")
            if here().startswith(name) or page.evaluate("document.activeElement.textContent").strip() == name:
                return
        raise AssertionError(f"{name} is not reached")

    with browser.new_page() as page:
        page.set_default_timeout(20_000)
        page.on("filechooser", lambda _: None)  # from now on, and not from some moment after the key
        page.goto(address)
        page.wait_for_selector("#go")
        on_to("Rank")
        page.keyboard.press("Enter")
        page.wait_for_selector("#rank-go")
        on_to("rank-images")
        with page.expect_file_chooser() as asked:
            page.keyboard.press("Enter")
        asked.value.set_files([files / "0.png", files / "1.png"])
        page.locator("#rank-images").get_by_text("1", exact=True).first.wait_for()
        on_to("rank-prompt")
        page.keyboard.type("a cat")
        on_to("rank-aspect")
        on_to("rank-go")
        page.keyboard.press("Enter")
        page.wait_for_selector("#rank-shown .preferred")
