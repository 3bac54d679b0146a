"""Work is dealt to processes whole, and evenly where it comes by size, as batches of descending length do."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from pipeline.processes import dealt


@given(st.lists(st.integers(1, 1000)), st.integers(1, 9))
def test_each_piece_is_dealt_once_and_in_order(sizes, processes):
    pieces = list(enumerate(sorted(sizes, reverse=True)))
    hands = dealt(pieces, processes)
    assert len(hands) == processes
    assert sorted(chain.from_iterable(hands)) == pieces
    assert all(hand == sorted(hand) for hand in hands)
    assert max(map(len, hands)) - min(map(len, hands)) <= 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_pieces_that_shrink_evenly_are_dealt_evenly(processes, rounds, by):
    """Dealt in turn, the first process would have the larger piece each time."""
    totals = {sum(hand) for hand in dealt([by * left for left in range(2 * processes * rounds, 0, -1)], processes)}
    assert len(totals) == 1


def test_four_batches_for_two():
    assert dealt([9, 7, 5, 3], 2) == [[9, 3], [7, 5]]
