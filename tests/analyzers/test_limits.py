"""A simulated clock, service and pool of workers: what the limits promise of every window, and what they waste."""

import heapq
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.limits import Limiter
from analyzers.teacher import PACIFIC, DailyQuota, next_day
from m3agiqa.errors import InputError

START = datetime(2026, 11, 25, 9, tzinfo=PACIFIC).timestamp()


@dataclass
class World:
    """Requests under way end while the clock runs, and only then is their size known."""

    now: float = START
    limiter: Limiter | None = None
    under_way: list = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.under_way and self.under_way[0][0] <= until:
            self.end_one()
        self.now = until

    def end_one(self) -> None:
        self.now, _, spent, tokens = heapq.heappop(self.under_way)
        self.limiter.settle(spent, tokens)


def limiter(notes, clock, *, requests=None, tokens=None, day=None, largest=0):
    limits = {"requests_per_minute": requests, "input_tokens_per_minute": tokens, "requests_per_day": day}
    return Limiter(**limits, tokens_a_request=largest, notes=notes, clock=clock)


def ask(notes, sizes, latency, concurrency, restarts=(), **limits):
    """When each of so many requests starts; at a restart, the process and what it knows are gone."""
    world = World()
    world.limiter = limiter(notes, world.clock, largest=max(sizes), **limits)
    starts = []
    for number, tokens in enumerate(sizes):
        if number in restarts:
            world.under_way.clear()
            world.limiter = limiter(notes, world.clock, largest=max(sizes), **limits)
        if len(world.under_way) == concurrency:
            world.end_one()
        spent = world.limiter.acquire(world.sleep)
        starts.append(world.now)
        heapq.heappush(world.under_way, (world.now + latency, number, spent, tokens))
    return starts


def worst_window(starts, amounts, seconds=60.0):
    """The most that any window of so many seconds holds."""
    worst = last = total = 0
    for first, start in enumerate(starts):
        while last < len(starts) and starts[last] < start + seconds:
            total += amounts[last]
            last += 1
        worst = max(worst, total)
        total -= amounts[first]
    return worst


@settings(max_examples=60, deadline=None)
@given(
    requests=st.integers(1, 300),
    tokens=st.integers(2_000, 100_000),
    sizes=st.lists(st.integers(200, 2_000), min_size=20, max_size=200),
    latency=st.floats(0.01, 30),
    concurrency=st.integers(1, 64),
    restarts=st.sets(st.integers(0, 200), max_size=5),
)
def test_no_window_sees_more_than_the_limits(tmp_path_factory, requests, tokens, sizes, latency, concurrency, restarts):
    notes = tmp_path_factory.mktemp("limits") / "requests.txt"
    starts = ask(notes, sizes, latency, concurrency, restarts, requests=requests, tokens=tokens)
    assert starts == sorted(starts)
    assert worst_window(starts, [1] * len(starts)) <= requests
    assert worst_window(starts, sizes) <= tokens


@settings(max_examples=30, deadline=None)
@given(
    requests=st.integers(1, 200),
    size=st.integers(200, 2_000),
    tokens=st.integers(10_000, 200_000),
    latency=st.floats(0.01, 20),
)
def test_little_of_the_tightest_limit_is_wasted(tmp_path_factory, requests, size, tokens, latency):
    notes = tmp_path_factory.mktemp("limits") / "requests.txt"
    a_minute = min(requests, tokens // size)
    concurrency = int(a_minute / 60 * latency) + 1
    starts = ask(notes, [size] * (a_minute * 8), latency, concurrency, requests=requests, tokens=tokens)
    assert (len(starts) - 1) / (starts[-1] - starts[0]) * 60 >= 0.98 * a_minute


def test_a_hold_stops_all(tmp_path):
    world = World()
    world.limiter = limiter(tmp_path / "notes", world.clock)
    world.limiter.acquire(world.sleep)
    world.limiter.hold(22)
    world.limiter.acquire(world.sleep)
    assert world.now == START + 22


def test_a_day_ends_at_midnight_pacific(tmp_path):
    world = World()
    for _ in range(3):  # a process each
        world.limiter = limiter(tmp_path / "notes", world.clock, day=3)
        world.limiter.acquire(world.sleep)
    world.limiter = limiter(tmp_path / "notes", world.clock, day=3)
    with pytest.raises(DailyQuota, match=r"after 2026-11-26 00:00 Pacific \(2026-11-26 08:00 UTC, in 15 h 0 min\)"):
        world.limiter.acquire(world.sleep)
    world.now = next_day(START)
    world.limiter.acquire(world.sleep)


def test_a_minute_goes_on_over_midnight_and_a_restart(tmp_path):
    world = World(next_day(START) - 5)
    world.limiter = limiter(tmp_path / "notes", world.clock, requests=1)
    world.limiter.acquire(world.sleep)
    world.now += 10
    world.limiter = limiter(tmp_path / "notes", world.clock, requests=1, day=1)
    world.limiter.acquire(world.sleep)
    assert world.now == pytest.approx(next_day(START) + 56)


def test_a_day_may_have_23_hours():
    spring = datetime(2026, 3, 8, tzinfo=PACIFIC).timestamp()
    assert next_day(spring) - spring == 23 * 3600


def test_torn_notes_are_read(tmp_path):
    (tmp_path / "notes").write_text(f"{START - 86400} 5\n{START} 7\n{START + 1} 7\n1795")
    world = World(START + 2)
    world.limiter = limiter(tmp_path / "notes", world.clock, requests=2)
    world.limiter.acquire(world.sleep)
    assert world.now == pytest.approx(START + 61)
    assert (tmp_path / "notes").read_text().count("\n") == 3


def test_a_request_larger_than_the_limit_is_refused(tmp_path):
    with pytest.raises(InputError, match="input_tokens_per_minute is 500, less than the 501"):
        limiter(tmp_path / "notes", World().clock, tokens=500, largest=501).acquire()
