"""Work ahead: in order, bounded, and neither an error nor a taker that stops leaves anything behind."""

import threading
import time
from contextvars import ContextVar

import pytest

from m3agiqa.ahead import ahead


def test_results_come_in_order_whoever_is_first():
    assert list(ahead(lambda n: time.sleep(0.01 * (n == 0)) or n * n, range(9), threads=3)) == [n * n for n in range(9)]
    assert list(ahead(str, [], threads=2)) == []


def test_no_more_is_under_way_than_there_are_threads():
    taken, begun = 0, []

    def work(number):
        begun.append(number)
        return number

    for number in ahead(work, range(20), threads=2):
        time.sleep(0.002)
        taken = number + 1
        assert len(begun) <= taken + 2
    assert taken == 20


def test_an_error_comes_out_where_its_result_would_have():
    def work(number):
        if number == 2:
            raise ValueError("third")
        return number

    results = ahead(work, range(50), threads=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert list(results) == []


def test_a_taker_that_stops_leaves_no_thread_behind():
    before = threading.active_count()
    results = ahead(lambda n: n, range(1000), threads=3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_more_results_than_threads_may_wait():
    begun = []
    results = ahead(lambda n: begun.append(n) or n, range(20), threads=1, most=4)
    for number in range(20):
        assert next(results) == number
        wanted, patience = min(number + 5, 20), time.monotonic() + 10
        while len(begun) < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(0.002)  # for one too many
        assert len(begun) == wanted
    assert next(results, None) is None


def test_threads_know_what_their_taker_has_set():
    setting = ContextVar("setting", default="everybody's")
    setting.set("the taker's")
    assert list(ahead(lambda _: setting.get(), range(3), 2)) == ["the taker's"] * 3
