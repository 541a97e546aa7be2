"""Things in a sequence, made a few ahead in another thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Ahead"]

T = TypeVar("T")


class Ahead(Generic[T]):
    """``make(index)`` for one index after the other, with those that follow made meanwhile.

    Whichever is asked for is what ``make`` gives, and what it raises is raised then. All calls of ``make`` are in one
    thread, in the order of their indices.

    Args:
        make: makes the thing of an index.
        depth: how many are made ahead, at least 1.
    """

    def __init__(self, make: Callable[[int], T], depth: int) -> None:
        self._make = make
        self._depth = depth
        self._coming: dict[int, Future[T]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="poise-ahead")

    def __call__(self, index: int) -> T:
        """The thing of this index."""
        wanted = range(index, index + self._depth + 1)
        for passed in [number for number in self._coming if number not in wanted]:
            self._coming.pop(passed).cancel()
        for number in wanted:
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._make, number)
        return self._coming.pop(index).result()

    def close(self) -> None:
        """End the thread, after what it is about."""
        self._pool.shutdown(cancel_futures=True)
        self._coming.clear()
