r"""The maximum mean discrepancy of features under a polynomial kernel: KID."""

from typing import NamedTuple

import torch
from torch import Tensor

from poise.errors import MetricError
from poise.metrics.checks import checked_pair

__all__ = ["LEAST", "Kid", "kid", "squared_discrepancy"]

LEAST = 4
"""The fewest samples on either side: a block is of two or more, and of half of them at most."""

_ROWS = 1024


class Kid(NamedTuple):
    """The mean over blocks, and their spread.

    Attributes:
        mean: lower is better; about 0 for equal distributions, where it is below 0 as often as above.
        std: the standard deviation over blocks. Blocks are drawn from the same samples, so it is that of one block and
            not the mean's error.
    """

    mean: float
    std: float


def kid(real: Tensor, fake: Tensor, block: int = 1000, blocks: int = 100, seed: int = 0) -> Kid:
    r"""The kernel inception distance, of any features: the unbiased squared MMD over random blocks.

    .. math:: \frac{1}{b (b - 1)} \sum_{i \neq j} \big(k(x_i, x_j) + k(y_i, y_j)\big)
        - \frac{2}{b^2} \sum_{i, j} k(x_i, y_j), \qquad k(x, y) = \Big(\frac{x \cdot y}{d} + 1\Big)^3

    averaged over ``blocks`` blocks of b real samples x and b fake ones y.

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.
        block: samples a block on either side; at most half of the smaller side, so that blocks differ.
        blocks: how many are drawn, each without replacement.
        seed: of the draws.

    Raises:
        ShapeError: when the features' dimensions differ.
        MetricError: when there are fewer than 4 samples on one side, some are not finite, or ``block`` or ``blocks`` is
            too small.

    Source: Bińkowski et al. 2018, Demystifying MMD GANs, arXiv 1801.01401, section 4 and equation 4; 100 blocks of
    1,000 as in torch-fidelity.
    """
    x, y = checked_pair(real, fake, least=LEAST)
    if block < 2 or blocks < 1:
        raise MetricError(f"KID of {blocks} blocks of {block} samples: it needs at least 1 block of 2")
    size = min(block, len(x) // 2, len(y) // 2)
    generator = torch.Generator().manual_seed(seed)
    chosen = [_chosen(len(points), size, blocks, generator).to(points) for points in (x, y)]
    values = squared_discrepancy(x, y, *chosen)
    return Kid(float(values.mean()), float(values.std(correction=0)))


def squared_discrepancy(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor) -> Tensor:
    """The unbiased squared MMD of each block.

    Every kernel value is computed once and added to the blocks that hold both of its points.

    Args:
        x: ``(n, d)``, float64.
        y: ``(m, d)``, float64.
        in_x: which points are in which block: 1 or 0, ``(blocks, n)``, equally many in all.
        in_y: the same for y, ``(blocks, m)``.

    Returns:
        ``(blocks,)``.
    """
    b = in_x.sum(dim=1)
    c = in_y.sum(dim=1)
    within = _sums(x, x, in_x, in_x) - in_x @ _kernel(x, x, pairs=True)
    other = _sums(y, y, in_y, in_y) - in_y @ _kernel(y, y, pairs=True)
    between = _sums(x, y, in_x, in_y)
    return within / (b * (b - 1)) + other / (c * (c - 1)) - 2 * between / (b * c)


def _sums(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor) -> Tensor:
    """The sum of the kernel over all pairs of each block, a few rows at a time."""
    total = torch.zeros_like(in_y)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        total += in_x[:, rows] @ _kernel(x[rows], y)
    return (total * in_y).sum(dim=1)


def _kernel(x: Tensor, y: Tensor, pairs: bool = False) -> Tensor:
    """The polynomial kernel of all points ``(n, m)``, or of points in pairs ``(n,)``."""
    dots = (x * y).sum(dim=1) if pairs else x @ y.T
    return dots.div_(x.shape[1]).add_(1).pow_(3)


def _chosen(n: int, size: int, blocks: int, generator: torch.Generator) -> Tensor:
    """Random subsets, as rows of 0 and 1 ``(blocks, n)``."""
    order = torch.rand(blocks, n, generator=generator).argsort(dim=1)[:, :size]
    return torch.zeros(blocks, n).scatter_(1, order, 1.0)
