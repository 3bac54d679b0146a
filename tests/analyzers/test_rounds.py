"""What the processes that help with a round are told: a round may have nothing to ask, and the end is told as such."""

import pytest

from analyzers import rounds
from analyzers.rounds import Rounds


class Here:
    """One of several processes."""

    process_index = 1

    def __init__(self):
        self.waited = 0

    def wait_for_everyone(self):
        self.waited += 1


class Deaf:
    """A teacher whom nobody asks."""

    tries = 2


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(rounds, "share", lambda batches: batches)
    return Here()


def test_a_round_without_questions_is_not_the_end(here, monkeypatch, tmp_path):
    told, asked = iter([[], [["a batch"]], [], None]), []
    monkeypatch.setattr(rounds, "broadcast_object_list", lambda _: [next(told)])
    monkeypatch.setattr(Rounds, "_asked", lambda _self, _ledger, batches: asked.append(batches) or batches)
    Rounds(Deaf(), 4, here, tmp_path).help()
    assert asked == [[], [["a batch"]], []]
    assert here.waited == 3
    assert next(told, "all was heard") == "all was heard"


def test_the_end_is_told_as_such(here, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(rounds, "broadcast_object_list", lambda objects: said.extend(objects) or objects)
    first = Rounds(Deaf(), 4, here, tmp_path)
    monkeypatch.setattr(Rounds, "_batches", lambda *_: [])
    monkeypatch.setattr(Rounds, "_asked", lambda *_: [])
    monkeypatch.setattr(rounds, "take_over", lambda *_: None)

    class Ledger:
        journal = enter = None

    assert list(first._round(Ledger(), {})) == []
    first.end()
    assert said == [[], None]
