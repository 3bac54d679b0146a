"""What may be spent, while nobody knows yet what a request costs."""

import datetime as dt
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from analyzers.budget import Budget, BudgetSpent
from analyzers.prices import cost
from analyzers.teacher import Usage
from pipeline.profiles import Prices

PRICES = Prices(date=dt.date(2026, 1, 1), input=100, output=1000)
MOST = cost(PRICES, Usage(input=1000, output=500))


def budget(max_usd, **options):
    return Budget(max_usd, prices=PRICES, largest_input=1000, max_output=500, **options)


def test_as_many_as_surely_fit():
    ours = budget(3.5 * MOST)
    assert ours.set_aside(2).requests == 2
    last = ours.set_aside(2)
    assert last.requests == 1
    assert ours.set_aside().requests == 0
    ours.give_back(last)
    assert ours.set_aside().requests == 1


def test_half_the_price_takes_twice_as_many():
    assert budget(3.5 * MOST).set_aside(10, share=0.5).requests == 7


@pytest.mark.parametrize("spent", [0.0, 9.6])
def test_where_there_is_nobody_to_wait_for_it_ends(spent):
    ours = budget(10 * MOST, spent=spent * MOST)
    if not spent:
        for _ in range(10):
            ours.spend(Usage(1000, 400, 100))
    with pytest.raises(BudgetSpent, match=r"runtime\.teacher\.max_usd is"):
        ours.set_aside()


def test_what_is_lost_counts_as_the_most():
    ours = budget(2.5 * MOST)
    ours.lose()
    assert ours.set_aside(2).requests == 1


def test_a_larger_input_is_expected_of_the_others_too():
    ours = budget(3.1 * MOST)
    ours.spend(Usage(input=2000))
    assert ours.set_aside(3).requests < 3


def test_jobs_that_are_under_way_are_held_against_it_fit_or_not():
    ours = budget(MOST)
    held = ours.hold(4, share=0.5)
    assert ours.set_aside().requests == 0
    ours.give_back(held)
    assert ours.set_aside().requests == 1


@pytest.mark.parametrize("free", [Budget(), Budget(0.01), budget(None)])
def test_without_a_limit_or_prices_there_is_none(free):
    assert free.set_aside(1000).requests == 1000
    free.lose()
    assert free.set_aside().requests == 1


def test_many_threads_never_pass_it_whatever_their_requests_cost():
    ours, chance, lock, spent = budget(20 * MOST), random.Random(0), Lock(), []

    def ask(_):
        try:
            with ours.for_one(lambda _: None):
                usage = Usage(chance.randint(1, 1000), chance.randint(0, 500))
                ours.spend(usage)
                with lock:
                    spent.append(cost(PRICES, usage))
        except BudgetSpent:
            return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(200)))
    assert 19 * MOST < sum(spent) <= 20 * MOST
