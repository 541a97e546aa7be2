"""Nearest neighbours by exact Euclidean distances, a block of rows at a time: all n x m would not fit in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["distances", "nearest", "radii"]

_BLOCK_VALUES = 1 << 23
"""So many distances are in memory at a time: 64 MiB of float64."""


def distances(points: Tensor, others: Tensor, itself: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    r"""The distances from points to all others, block by block.

    .. math:: \lVert x - y \rVert^2 = \lVert x \rVert^2 + \lVert y \rVert^2 - 2 x \cdot y

    of points that are moved to the others' mean first, which keeps the differences of large numbers small.

    Args:
        points: ``(n, d)``, float64.
        others: ``(m, d)``, float64.
        itself: where each point is among the others, ``(n,)``; it is infinitely far from there.

    Yields:
        The rows of a block, and their distances ``(rows, m)``.
    """
    center = others.mean(dim=0)
    points, others = points - center, others - center
    norms = others.square().sum(dim=1)
    rows = max(1, _BLOCK_VALUES // len(others))
    for start in range(0, len(points), rows):
        block = slice(start, start + rows)
        squared = torch.addmm(norms, points[block], others.T, alpha=-2)
        squared += points[block].square().sum(dim=1, keepdim=True)
        if itself is not None:
            squared.scatter_(1, itself[block, None], torch.inf)
        yield block, squared.clamp_(min=0).sqrt_()


def radii(points: Tensor, k: int) -> Tensor:
    """The distances from each point ``(n, d)`` to its ``k`` nearest other points, ascending, ``(n, k)``."""
    found = points.new_empty(len(points), k)
    for block, apart in distances(points, points, torch.arange(len(points), device=points.device)):
        found[block] = apart.topk(k, dim=1, largest=False).values
    return found


def nearest(points: Tensor, others: Tensor, itself: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest of the others of each point.

    Args:
        points: ``(n, d)``, float64.
        others: ``(m, d)``, float64.
        itself: where each point is among the others, ``(n,)``, if it is; it does not count.

    Returns:
        The distances ``(n,)`` and the indices ``(n,)``.
    """
    found, indices = points.new_empty(len(points)), torch.empty(len(points), dtype=torch.int64, device=points.device)
    for block, apart in distances(points, others, itself):
        found[block], indices[block] = apart.min(dim=1)
    return found, indices
