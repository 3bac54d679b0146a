"""The caption stage before a service that refuses some requests: whose fault it is, the image's or the settings'."""

import json
import threading
import time
from itertools import count

import pytest

from analyzers.patience import MOST_ATTEMPTS
from pipeline import paths
from tests.caption_project import write_samples, write_splits
from tests.captioned import captions, ends, run, totals
from tests.gemini_server import answer, bad_image, bad_key, daily_quota, error, too_many

IMAGES = 60
REASON = "request: Gemini answers 400: Unable to process input image. Please retry or report it."


@pytest.fixture
def sixty(project, server):
    """As many images, all to be described."""
    write_samples(IMAGES)
    write_splits(["train"] * (IMAGES - 2) + ["val", "val"])
    project(**{"caption.max_failed": 0.1})
    return server


def number(request):
    return int(request.text.split('"ball ')[1].split('"')[0])


def but(refused, move):
    """Answers all, but these images."""
    return lambda request: move(request) if number(request) in refused else answer(request)


def journal(root):
    return [json.loads(line) for line in (root / ".cache/caption/gemini/answers.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "refused", [{0}, {29}, {59}, {0, 1, 10, 11, 12, 13}], ids=["the first", "one", "the last", "all of a kind"]
)
def test_an_image_that_is_refused_fails_alone(sixty, tmp_path, capsys, refused):
    sixty.script = but(refused, lambda _: bad_image())
    run()
    assert len(sixty.requests) == IMAGES
    assert (totals()["described"], totals()["failures"]) == (IMAGES - len(refused), {REASON: len(refused)})
    assert (totals()["requests"], totals()["answers"]) == (IMAGES, IMAGES - len(refused))
    assert totals()["answered_by"] == {"gemini-3.8-flash": IMAGES - len(refused)}
    assert f"images/{min(refused)}.png: {REASON}" in capsys.readouterr().err
    assert {record["image"] for record in journal(tmp_path) if record["blocked"] == REASON} == set(map(str, refused))

    kept = paths.captions("folder").read_bytes()
    run()
    assert len(sixty.requests) == IMAGES
    assert paths.captions("folder").read_bytes() == kept
    sixty.script = answer
    run(retry_blocked=True)
    assert len(sixty.requests) == IMAGES + len(refused)
    assert len(captions()) == IMAGES


def test_an_image_is_refused_where_nothing_else_is_left_to_ask(sixty):
    """What was answered before tells that the settings are accepted."""
    write_splits(["test"] * 8 + ["train"] * (IMAGES - 10) + ["val", "val"])
    run()
    write_splits(["test"] * 7 + ["train"] * (IMAGES - 9) + ["val", "val"])
    sixty.script = lambda _: bad_image()
    run()
    assert totals()["failures"] == {REASON: 1}


@pytest.mark.parametrize("poison", [0, 29], ids=["first", "one"])
@pytest.mark.parametrize("move", [error(500), error(504), answer], ids=["500", "504", "lost"])
def test_an_image_that_is_never_answered_fails_alone(sixty, project, monkeypatch, poison, move):
    monkeypatch.setattr("analyzers.patience.PATIENCE", 0)
    monkeypatch.setattr("analyzers.patience.BACKOFF", lambda _: 0)
    project(**{"caption.max_failed": 0.1, "runtime.teacher.concurrency": IMAGES})
    tries, enough = count(1), threading.Event()

    def script(request):
        if number(request) != poison:
            if any(number(earlier) == poison for earlier in sixty.requests) and sixty.answered:
                enough.wait(20)
            return answer(request)
        if next(tries) == 9:
            enough.set()
            late = time.monotonic() + 20
            while len(sixty.answered) < IMAGES - 1 and time.monotonic() < late:
                time.sleep(0.001)
        return answer(request, sent=0) if move is answer else move

    sixty.script = script
    run()
    [(reason, images)] = totals()["failures"].items()
    assert reason.startswith("request: never answered: ")
    assert images == 1
    assert len(captions()) == IMAGES - 1
    asked = len(sixty.requests)
    run()
    assert len(sixty.requests) == asked == IMAGES - 1 + MOST_ATTEMPTS


def test_where_nothing_is_accepted_it_is_the_settings(sixty, tmp_path, capsys):
    sixty.script = lambda _: error(400, "temperature must be between 0 and 2.")
    status, said = ends(capsys)
    assert status == 2
    assert "400: temperature must be between 0 and 2.; nothing was accepted yet" in said
    assert "else teachers.gemini" in said
    assert len(sixty.requests) <= 4
    assert not journal(tmp_path)
    sixty.script = answer
    run()
    assert len(captions()) == IMAGES


def test_two_images_and_neither_is_accepted(sixty, tmp_path, capsys):
    write_splits(["train", "val"] + ["test"] * (IMAGES - 2))
    sixty.script = lambda _: bad_image()
    assert ends(capsys)[0] == 2
    assert len(sixty.requests) == 2
    assert not journal(tmp_path)


@pytest.mark.parametrize(
    "move",
    [bad_key(), error(400, "User location is not supported.", name="FAILED_PRECONDITION"), error(404)],
    ids=["key", "place", "model"],
)
@pytest.mark.parametrize("accepted", [0, 20])
def test_what_is_about_the_account_stops_the_run_at_any_time(sixty, tmp_path, capsys, move, accepted):
    sixty.script = lambda request: answer(request) if request.number < accepted else move
    assert ends(capsys)[0] == 2
    assert len(sixty.requests) <= accepted + (4 if accepted else 1)
    assert not any(record["blocked"] for record in journal(tmp_path))
    sixty.script = answer
    run()
    assert len(captions()) == IMAGES


@pytest.mark.parametrize("passing", [error(503), too_many("0.1s"), error(500)], ids=["503", "429", "500"])
@pytest.mark.parametrize("options", [{}, {"dry_run": True}], ids=["run", "dry run"])
def test_counting_tokens_is_patient_too(sixty, capsys, passing, options):
    moves = iter([passing])
    well = sixty.count_script
    sixty.count_script = lambda text: next(moves, None) or well(text)
    run(**options)
    assert sixty.counted > 2
    assert options or len(captions()) == IMAGES


@pytest.mark.parametrize(
    ("move", "status", "says"),
    [
        (daily_quota(), 75, "run it again after"),
        (bad_key(), 2, "API key not valid"),
        (error(503), 69, "no answer after 12 attempts"),
    ],
    ids=["daily quota", "key", "down"],
)
def test_counting_tokens_ends_in_one_line(sixty, capsys, monkeypatch, move, status, says):
    monkeypatch.setattr("analyzers.patience.PATIENCE", 0)
    monkeypatch.setattr("analyzers.patience.BACKOFF", lambda _: 0)
    sixty.count_script = lambda _: move
    for options in ({}, {"dry_run": True}):
        ended, said = ends(capsys, **options)
        assert ended == status
        assert says in said
    assert not sixty.requests


def test_a_picture_whose_tokens_are_not_counted_stops_nothing(sixty, capsys):
    sixty.count_script = lambda _: bad_image()
    run()
    assert len(captions()) == IMAGES
