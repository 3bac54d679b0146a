"""Work done ahead of whoever takes its results, by threads: reading the next batch while this one is used."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

DECODERS = max(1, min(8, (os.cpu_count() or 1) // 2))  # that make a GPU's inputs of images; each holds a batch


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, *, most: int | None = None
) -> Iterator[Result]:
    """`work` of each item, in order, by that many threads while the results before it are used.

    At `most` so many results, as many as there are threads if it is not said, are made or under way before they are
    asked for. An error comes out where its result would have; what has not begun when the taker stops is not begun.
    What the taker has set for itself (`contextvars`, as torch keeps its compiler's settings) holds in the threads, too.
    """
    most = most or threads
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(copy_context().run, work, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
