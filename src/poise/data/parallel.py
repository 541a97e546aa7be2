"""Work on many items at once, in bounded memory, with the results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Progress", "each", "in_order"]

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length, so that the caller can show how far it is."""

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], light: Callable[[T], bool]) -> Iterator[R]:
    """The results of ``work`` on each item, in order, computed on all cores.

    Only a few items more than there are cores are under way at once, so memory stays bounded. Threads suffice: reading,
    hashing and Pillow's decoders release Python's lock.

    Args:
        work: what to do with an item.
        items: the items; they are taken one by one as there is room.
        light: says of an item that handing it to another thread would cost more than to do it here.
    """
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            if not light(item):
                pending.append(pool.submit(work, item))
            elif pending:
                pending.append(Future())
                pending[-1].set_result(work(item))
            else:
                yield work(item)
            while pending and (len(pending) > 4 * workers or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def each(items: Iterable[T], count: int | None, progress: Progress | None) -> Iterable[T]:
    """``items``, shown by ``progress`` where there is one and their number is known."""
    return items if progress is None or count is None else progress(items, count)
