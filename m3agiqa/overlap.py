"""Several pieces of work overlapped: threads prepare what a model is given of one while it is busy with another.

A piece of work is a generator. Where it comes to something that any thread can do, it yields a function, and gets back
one that returns what that function returned: `inputs = (yield partial(decode, path))()`. What stands between is done by
the thread that asks for results, and by no other: a model, and what is compiled for it, belongs to one thread.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Step = Callable[[], Any]  # anybody's to do
Work = Generator[Step, Step, Result]


def alone(work: Work[Result]) -> Result:
    """The result of one piece of work, all of it done here."""
    try:
        step = next(work)
        while True:
            step = work.send(step)
    except StopIteration as end:
        result: Result = end.value
        return result


def overlapped(works: Iterable[Work[Result] | None], threads: int) -> Iterator[Result]:
    """The result of each, in order; one more than there are threads are begun at a time. Without threads, each alone.

    None in place of a piece of work says that there is none yet: what is begun is then brought to its end before the
    next is asked for. An error comes out where its result would have, and nothing after it.
    """
    if not threads:
        yield from (alone(work) for work in works if work is not None)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="overlap")
    begun: deque[_Begun[Result]] = deque()
    try:
        for work in works:
            if work is not None:
                begun.append(_Begun(work, pool))
            while begun and (work is None or len(begun) > threads):
                yield _first(begun)
        while begun:
            yield _first(begun)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Begun(Generic[Result]):
    """A piece of work, and what of it threads are at."""

    def __init__(self, work: Work[Result], pool: Executor) -> None:
        self._work, self._pool = work, pool
        self.step: Future[Any] | None = None  # None once the work has ended
        self.end: Future[Result] = Future()
        self.go_on()

    def go_on(self) -> None:
        """To the next step, or to the end."""
        try:
            self.step = self._pool.submit(next(self._work) if self.step is None else self._work.send(self.step.result))
        except StopIteration as end:
            self.step = None
            self.end.set_result(end.value)
        except Exception as error:  # noqa: BLE001  it comes out where the result would have
            self.step = None
            self.end.set_exception(error)


def _first(begun: deque[_Begun[Result]]) -> Result:
    """The result of the first, which leaves them; the others go on as far as they can meanwhile, the elder before."""
    while not begun[0].end.done():
        steps = {each.step: each for each in begun if each.step is not None}
        wait(steps, return_when=FIRST_COMPLETED)
        next(each for step, each in steps.items() if step.done()).go_on()
    return begun.popleft().end.result()
