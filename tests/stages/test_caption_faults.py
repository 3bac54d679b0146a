"""The caption stage as a process, before a service that fails in every way and while it is being killed."""

import json
import random
import signal
import threading
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from analyzers.limits import Limiter
from data.tables.frames import read_table
from pipeline import paths
from tests.caption_project import ROOT, forked, start, write_params, write_samples, write_splits
from tests.gemini_server import (
    KEY,
    TEXTS,
    GeminiServer,
    answer,
    bad_image,
    blocked_prompt,
    daily_quota,
    error,
    too_many,
)

IMAGES, TEST_IMAGES, KILLS = 300, 20, 20
A_MINUTE, EARLIER = 600, 450  # requests allowed, and sent by another run, AGO seconds before
AGO = 45
FAILING = 0.1  # share of the images that cannot be described
LATE = 0.8  # seconds, longer than the timeout


def image_of(request) -> int:
    return int(request.text.split('"ball ')[1].split('"')[0])


def luck(*of: object) -> random.Random:
    return random.Random(sha256(repr(of).encode()).hexdigest())


def words(request) -> dict[str, str]:
    return {aspect: f"{TEXTS[aspect]} It is ball number {image_of(request)}." for aspect in request.aspects}


def settled(request):
    """What the service says of an image whenever nothing goes wrong."""
    chance = luck("image", image_of(request)).random()
    if chance < FAILING / 4:
        return blocked_prompt(request)
    if chance < FAILING / 2:
        return answer(request, finish="SAFETY", no_content=True)
    if chance < FAILING * 3 / 4:
        return bad_image()
    if chance < FAILING:
        return answer(request, finish="MAX_TOKENS", said='{"quality": "Edges')
    return answer(request, said=words(request), thinking=40)


class Faulty:
    """One request in three meets a fault. An image is answered badly at most twice, and not one that will be refused:
    a part of a bad answer may be usable, so that the end would not be that of an undisturbed run.
    """

    def __init__(self) -> None:
        self.bad = Counter()

    def __call__(self, request):
        chance, number = luck("request", request.number), image_of(request)
        time.sleep(chance.uniform(0, 0.1))
        if chance.random() < 0.2:
            passing = [too_many("0.2s"), error(500), error(503), answer(request, delay=LATE)]
            return chance.choice([*passing, answer(request, sent=0), answer(request, sent=0.5)])
        refused = luck("image", number).random() < FAILING
        if chance.random() < 0.15 and self.bad[number] < 2 and not refused:
            self.bad[number] += 1
            half = dict(list(words(request).items())[:1])
            said = chance.choice(["", "{", "[]", half, {**half, "quality": "3.1"}, {"quality": [], "x": ""}])
            return answer(request, said=said, version="gemini-4-argon")
        return settled(request)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_samples(IMAGES + TEST_IMAGES)
    write_splits(["train", "val"] * (IMAGES // 2) + ["test"] * TEST_IMAGES)
    write(requests_per_minute=None)
    return tmp_path


def write(requests_per_minute, timeout=0.4):
    limits = {"concurrency": 16, "timeout": timeout, "requests_per_minute": requests_per_minute}
    changes = {f"runtime.teacher.{key}": value for key, value in limits.items()}
    write_params(**changes, **{"caption.max_failed": 2 * FAILING})


def journal(root: Path) -> list[dict]:
    path = root / ".cache/caption/gemini/answers.jsonl"
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def done(records: list[dict]) -> set[int]:
    """The images of which nothing is left to ask."""
    described: dict[int, set[str]] = {}
    for record in records:
        described.setdefault(int(record["image"]), set()).update(record["explanations"])
    ends = Counter((int(record["image"]), record["blocked"]) for record in records if record["blocked"])
    final = {image for (image, end), times in ends.items() if times > (end == "answer: MAX_TOKENS")}
    return {image for image, aspects in described.items() if len(aspects) == 2} | final


def earlier_run(root: Path) -> list[float]:
    """Another run's requests, of which the limiter has notes: when they were sent."""
    at = time.time() - AGO
    limits = {"requests_per_minute": None, "input_tokens_per_minute": None, "requests_per_day": None}
    notes = root / ".cache/caption/gemini/requests.txt"
    limiter = Limiter(**limits, tokens_a_request=0, notes=notes, clock=lambda: at)
    return [limiter.acquire().at for _ in range(EARLIER)]


def killed(project: Path, server: GeminiServer, chance: random.Random, by: signal.Signals) -> set[int]:
    """Start the stage and kill it at a random moment: the images of which nothing was left to ask by then."""
    running, late = forked(project, server), time.monotonic() + 2
    until = len(server.requests) + chance.randrange(30)
    while running.is_alive() and len(server.requests) < until and time.monotonic() < late:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.2))
    before = journal(project)
    (running.kill if by == signal.SIGKILL else running.terminate)()  # nothing, where it had little left to do
    running.join()
    after = journal(project)
    ended = running.exitcode == 0 and len(done(after)) == IMAGES
    assert ended or running.exitcode in {-by, 143}, (project / "log").read_text()
    assert after[: len(before)] == before
    return done(after)


def test_whatever_fails_and_whoever_kills_it_nothing_is_lost_and_nothing_is_paid_twice(project):
    chance, known = random.Random(3), {}
    write(requests_per_minute=A_MINUTE)
    earlier = earlier_run(project)
    with GeminiServer(Faulty()) as server:
        for kill in range(KILLS):
            by = signal.SIGTERM if kill % 2 else signal.SIGKILL
            images = killed(project, server, chance, by)
            known[len(server.requests)] = images
        running = start(project, server)
        said = running.communicate()[0].decode()
        assert running.returncode == 0, said

    assert not bearers(project)
    for sent, images in known.items():
        assert not images & {image_of(request) for request in server.requests[sent:]}
    at = earlier + [request.at for request in server.requests]
    assert len(at) > A_MINUTE
    assert all(later - earlier > 60 for earlier, later in zip(at, at[A_MINUTE:], strict=False))
    assert all(image_of(request) < IMAGES for request in server.requests)
    totals = json.loads((project / "results/caption.json").read_text())
    assert totals["described"] + totals["failed"] == IMAGES
    refused = "request: Gemini answers 400: Unable to process input image. Please retry or report it."
    ends = {"prompt: PROHIBITED_CONTENT", "answer: SAFETY", "answer: MAX_TOKENS", refused}
    assert set(totals["failures"]) == ends

    disturbed, table = paths.captions("folder").read_bytes(), read_table(paths.captions("folder"))
    (project / ".cache").rename(project / "kept")
    write(requests_per_minute=None)
    with GeminiServer(settled) as server:
        running = start(project, server)
        said = running.communicate()[0].decode()
        assert running.returncode == 0, said
    pd.testing.assert_frame_equal(read_table(paths.captions("folder")), table)
    assert paths.captions("folder").read_bytes() == disturbed


def test_a_terminated_run_keeps_what_was_under_way(project, programs):
    write(requests_per_minute=None, timeout=60)
    with GeminiServer(lambda request: answer(request, delay=0.3)) as server:
        running = start(project, server, python=programs / "python")
        while len(server.requests) < 20:
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        said = running.communicate()[0].decode()
    assert running.returncode == 143
    assert "Traceback" not in said
    assert [record["finish_reason"] for record in journal(project)] == ["STOP"] * len(server.requests)


def bearers(root: Path) -> list[Path]:
    """The files that hold the key."""
    return [path for path in root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (settled, 0),
        (lambda _: error(400, f"API key {KEY} is not valid."), 2),
        (lambda _: error(401, f"{KEY}?"), 2),
        (lambda _: error(403, f"{KEY} may not."), 2),
        (lambda _: error(404, f"{KEY} finds nothing."), 2),
        (lambda _: daily_quota(), 75),
        (lambda request: answer(request, said=f"{KEY}"), 2),
        (blocked_prompt, 2),
    ],
    ids=["success", "400", "401", "403", "404", "daily quota", "unusable", "blocked"],
)
def test_the_key_is_nowhere(project, programs, script, status):
    write_samples(24)
    write_splits(["train"] * 20 + ["test"] * 4)
    write(requests_per_minute=None, timeout=60)
    looked = threading.Event()  # it must not end before

    def late(request):
        looked.wait(60)
        return script(request)

    with GeminiServer(late) as server:
        running = start(project, server, python=programs / "python")
        while running.poll() is None and not server.requests:
            time.sleep(0.01)
        seen = Path(f"/proc/{running.pid}/cmdline").read_bytes()
        looked.set()
        said = running.communicate()[0]
    assert running.returncode == status, said.decode()
    assert server.requests
    assert KEY.encode() not in seen + said
    assert not bearers(project)
