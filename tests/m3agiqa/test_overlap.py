"""Overlapped work: in order, bounded, the model's part by one thread, an error where its result would have been."""

import threading
from functools import partial

import pytest

from m3agiqa.overlap import alone, overlapped


def two_steps(number, trace):
    trace.append(("model", number, threading.current_thread()))
    doubled = (yield partial(lambda: trace.append(("made", number, threading.current_thread())) or 2 * number))()
    trace.append(("model", number, threading.current_thread()))
    return (yield partial(lambda: doubled + 1))()


def no_step(number):
    return number
    yield


def that_catches(number):
    try:
        (yield partial(int, "no number"))()
    except ValueError:
        return number
    raise AssertionError


def that_fails(_number):
    (yield partial(int, "no number"))()


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_order_and_one_thread_has_the_model(threads):
    trace = []
    kinds = [partial(two_steps, trace=trace), no_step, that_catches]
    found = list(overlapped((kinds[number % 3](number) for number in range(30)), threads))
    assert found == [2 * number + 1 if number % 3 == 0 else number for number in range(30)]
    assert {thread for what, _, thread in trace if what == "model"} == {threading.main_thread()}
    others = {thread for what, _, thread in trace if what == "made"}
    assert (threading.main_thread() in others) == (threads == 0)
    assert list(overlapped([], threads)) == []


def test_while_one_is_made_another_is_in_the_model():
    """The first's inputs are ready only after the second has begun."""
    second = threading.Event()

    def first():
        return (yield partial(second.wait, 10))()

    def other():
        second.set()
        return (yield partial(bool, 1))()

    assert list(overlapped([first(), other()], 1)) == [True, True]


@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_are_begun_than_one_beside_each_thread(threads):
    begun = []

    def works():
        for number in range(20):
            begun.append(number)
            yield two_steps(number, [])

    for taken, _ in enumerate(overlapped(works(), threads)):
        assert len(begun) <= taken + 1 + threads


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_an_error_comes_out_where_its_result_would_have_and_nothing_after_it(threads):
    results = overlapped((kind(number) for number, kind in enumerate([no_step, no_step, that_fails, no_step])), threads)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no number"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("threads", [0, 2])
def test_what_is_begun_does_not_wait_for_what_may_never_come(threads):
    asked = []

    def works():
        for number in (1, 2, None, 3, None):
            asked.append(number)
            yield number and two_steps(number, [])

    results = overlapped(works(), threads)
    assert [next(results), next(results)] == [3, 5]
    assert asked == ([1, 2] if threads == 0 else [1, 2, None])
    assert list(results) == [7]


def test_alone_it_is_the_same_and_nobody_else_takes_part():
    trace = []
    assert alone(two_steps(4, trace)) == 9
    assert {thread for *_, thread in trace} == {threading.main_thread()}
    assert alone(that_catches(1)) == 1
    with pytest.raises(ValueError, match="no number"):
        alone(that_fails(1))


def test_a_taker_that_stops_leaves_nothing_at_work():
    results = overlapped((two_steps(number, []) for number in range(9)), 2)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("overlap")]
