"""Few of many."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["spread"]

T = TypeVar("T")


def spread(items: Sequence[T], at_most: int) -> list[T]:
    """So many of some items, evenly over their order, with the first and the last.

    >>> spread([1, 2, 4, 8, 16, 32, 64], 3)
    [1, 8, 64]
    """
    if len(items) <= at_most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (at_most - 1))] for index in range(at_most)]
