"""Batches made across callers: full where many wait, bounded in images and pixels, and nobody is forgotten."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from m3agiqa.batching import UNEXPECTED, Batcher, Full
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

QUALITY = ("quality",)
POISON = 1 << 5  # pixels wide


class Held(Scorer):
    """Notes its batches, waits to be let go, and breaks at a picture of one width."""

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self.begun, self.free = threading.Semaphore(0), threading.Event()
        self.seen = []

    def score_batch(self, images, prompts, *, aspect):
        self.seen.append((aspect, list(prompts)))
        self.begun.release()
        assert self.free.wait(60)
        if any(image.width == POISON for image in images):
            raise RuntimeError("/a/path/of/the/server")
        return super().score_batch(images, prompts, aspect=aspect)


@pytest.fixture
def held(parts):
    scorer = Held(parts, device="cpu", batch=4)
    yield scorer
    scorer.free.set()


@pytest.fixture
def batcher(held):
    made = Batcher(held, places=10, pixels=10**9)
    yield made
    held.free.set()
    made.close()


def image(seed):
    return picture(seed, width=33)


def put(batcher, number, aspects=QUALITY, **size):
    return batcher.put(picture(number, **{"width": 33} | size), str(number), aspects)


def test_what_waits_is_taken_together_and_each_gets_its_own(held, batcher, parts):
    first = put(batcher, 0)
    assert held.begun.acquire(timeout=60)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda number: put(batcher, number), range(1, 8)))
    held.free.set()
    found = [answer.result(60)["quality"] for answer in [first, *answers]]
    assert sorted(len(prompts) for _, prompts in held.seen) == [1, 3, 4]
    pictures, prompts = [image(number) for number in range(8)], [str(number) for number in range(8)]
    alone = Scorer(parts, device="cpu", batch=1)(pictures, prompts, aspect="quality")
    assert [score.description for score in found] == [score.description for score in alone]
    assert [score.score for score in found] == pytest.approx([score.score for score in alone], abs=1e-4)


def test_alone_it_is_the_scorers_to_the_last_bit(held, batcher, parts):
    held.free.set()
    scores = put(batcher, 3, ("quality", "correspondence")).result(60)
    assert list(scores) == list(held.aspects)
    plain = Scorer(parts, device="cpu")
    assert scores == {aspect: plain([image(3)], ["3"], aspect=aspect)[0] for aspect in held.aspects}


def test_an_aspect_is_computed_for_those_who_asked(held, batcher):
    blocker = put(batcher, 0)
    assert held.begun.acquire(timeout=60)
    answers = [put(batcher, 1), put(batcher, 2, held.aspects), put(batcher, 3, ("correspondence",))]
    held.free.set()
    assert [list(answer.result(60)) for answer in answers] == [["quality"], list(held.aspects), ["correspondence"]]
    blocker.result(60)
    assert held.seen[1:] == [("quality", ["1", "2"]), ("correspondence", ["2", "3"])]


def test_prompts_of_a_length_go_together_and_the_oldest_first(held, batcher):
    blocker = put(batcher, 0)
    assert held.begun.acquire(timeout=60)
    prompts = ["a", "b" * 40, "c", "d" * 40, "e", "f", "g" * 40, "h" * 40]
    answers = [batcher.put(image(place), prompt, QUALITY) for place, prompt in enumerate(prompts)]
    held.free.set()
    assert {answer.result(60)["quality"].status for answer in (blocker, *answers)} == {"ok"}
    assert [asked for _, asked in held.seen[1:]] == [["a", "c", "e", "f"], ["b" * 40, "d" * 40, "g" * 40, "h" * 40]]


def test_places_are_bounded_and_come_back(batcher):
    with batcher.admitted(6):
        with pytest.raises(Full, match="ask again in 1 s"), batcher.admitted(5):
            pass
        with batcher.admitted(4):
            assert batcher.taken == 10
    assert batcher.taken == 0
    with batcher.admitted(10):
        pass


def test_pixels_are_bounded_and_a_larger_picture_goes_alone(held):
    batcher = Batcher(held, places=10, pixels=40 * 40)
    with ThreadPoolExecutor(1) as caller:
        small = put(batcher, 0)
        assert held.begun.acquire(timeout=60)
        waiting = caller.submit(put, batcher, 1, width=64, height=64)  # more than may ever be held
        assert not waiting.done()
        assert len(held.seen) == 1
        held.free.set()
        assert small.result(60)["quality"].status == "ok"
        assert waiting.result(60).result(60)["quality"].status == "ok"
        assert [prompts for _, prompts in held.seen] == [["0"], ["1"]]
    batcher.close()


def test_what_breaks_the_model_is_answered_alone_and_names_nothing(held, batcher, caplog):
    blocker = put(batcher, 0)
    assert held.begun.acquire(timeout=60)
    answers = [put(batcher, 1), put(batcher, 2, width=POISON), put(batcher, 3)]
    held.free.set()
    assert [answer.result(60)["quality"].status for answer in answers] == ["ok", UNEXPECTED, "ok"]
    assert blocker.result(60)["quality"].status == "ok"
    assert "/a/path" not in UNEXPECTED
    assert "/a/path/of/the/server" in caplog.text
    assert put(batcher, 4).result(60)["quality"].status == "ok"  # and it goes on


def test_who_gives_up_is_not_scored_and_holds_nothing(held):
    batcher = Batcher(held, places=10, pixels=3 * 33 * 32)
    blocker = put(batcher, 0)
    assert held.begun.acquire(timeout=60)
    gone, stays = put(batcher, 1), put(batcher, 2)
    assert gone.cancel()
    held.free.set()
    assert stays.result(60)["quality"].status == "ok"
    with pytest.raises(CancelledError):
        gone.result(0)
    assert held.seen[1:] == [("quality", ["2"])]
    again = [put(batcher, number) for number in range(3)]
    assert {answer.result(60)["quality"].status for answer in (blocker, *again)} == {"ok"}
    batcher.close()


def test_the_end_answers_what_waits_and_takes_no_more(held, batcher):
    answers = [put(batcher, number) for number in range(7)]
    assert held.begun.acquire(timeout=60)
    ending = threading.Thread(target=batcher.close)
    ending.start()
    while batcher.running:  # until it has said that it closes
        pass
    with pytest.raises(Full):
        put(batcher, 8)
    with pytest.raises(Full), batcher.admitted(1):
        pass
    assert ending.is_alive()
    held.free.set()
    ending.join(60)
    assert not ending.is_alive()
    assert all(answer.done() for answer in answers)
    assert {answer.result()["quality"].status for answer in answers} == {"ok"}


def test_batches_are_watched(held):
    told = []
    batcher = Batcher(held, places=10, pixels=10**9, watch=lambda *each: told.append(each))
    held.free.set()
    put(batcher, 0).result(60)
    batcher.close()
    ((images, seconds),) = told
    assert images == 1
    assert seconds > 0
