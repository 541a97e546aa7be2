"""Nearest neighbours by exact Euclidean distances, a block of rows at a time: all n x m would not fit in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["distances", "nearest", "radii"]

_BLOCK_VALUES = 1 << 23
"""So many distances, or coordinates, are in memory at a time: 64 MiB of float64."""


def distances(points: Tensor, others: Tensor, itself: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    r"""The distances from points to all others, block by block.

    .. math:: \lVert x - y \rVert^2 = \lVert x \rVert^2 + \lVert y \rVert^2 - 2 x \cdot y

    in float64, of points that are moved to the others' mean first, which keeps the differences of large numbers small.

    Args:
        points: ``(n, d)``.
        others: ``(m, d)``, which may be many, in float32: no more than a block of them is converted at a time.
        itself: where each point is among the others, ``(n,)``; it is infinitely far from there.

    Yields:
        The rows of a block, and their distances ``(rows, m)``.
    """
    parts = torch.split(others, max(1, _BLOCK_VALUES // others.shape[1]))
    center = torch.stack([part.double().sum(dim=0) for part in parts]).sum(dim=0) / len(others)
    norms = [(part.double() - center).square().sum(dim=1) for part in parts]
    rows = max(1, _BLOCK_VALUES // len(others))
    for start in range(0, len(points), rows):
        block = slice(start, start + rows)
        moved = points[block].double() - center
        squared = torch.cat(
            [
                torch.addmm(norm, moved, (part.double() - center).T, alpha=-2)
                for part, norm in zip(parts, norms, strict=True)
            ],
            dim=1,
        )
        squared += moved.square().sum(dim=1, keepdim=True)
        if itself is not None:
            squared.scatter_(1, itself[block, None], torch.inf)
        yield block, squared.clamp_(min=0).sqrt_()


def radii(points: Tensor, k: int) -> Tensor:
    """The distances from each point ``(n, d)`` to its ``k`` nearest other points, ascending, ``(n, k)``."""
    found = torch.empty(len(points), k, dtype=torch.float64, device=points.device)
    for block, apart in distances(points, points, torch.arange(len(points), device=points.device)):
        found[block] = apart.topk(k, dim=1, largest=False).values
    return found


def nearest(points: Tensor, others: Tensor, itself: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest of the others of each point.

    Args:
        points: ``(n, d)``.
        others: ``(m, d)``.
        itself: where each point is among the others, ``(n,)``, if it is; it does not count.

    Returns:
        The distances ``(n,)``, in float64, and the indices ``(n,)``.
    """
    found = torch.empty(len(points), dtype=torch.float64, device=points.device)
    indices = torch.empty(len(points), dtype=torch.int64, device=points.device)
    for block, apart in distances(points, others, itself):
        found[block], indices[block] = apart.min(dim=1)
    return found, indices
