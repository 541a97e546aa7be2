"""Curves of any length as few points: thinned without losing a peak, and smoothed."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers", "is_logarithmic", "rounded", "smooth", "thin"]

Numbers = NDArray[np.float64]

_DIGITS = 5
_DECADES = 1.0


def thin(x: Numbers, y: Numbers, points: int = 1000) -> tuple[Numbers, Numbers]:
    """At most ``points`` of a curve's points: of each stretch of it the lowest and the highest, and both ends.

    Args:
        x: places, ascending, ``(n,)``.
        y: values, ``(n,)``, finite.
        points: how many may stay; at least 4.
    """
    if len(x) <= points:
        return x, y
    bounds = np.linspace(1, len(x) - 1, (points - 2) // 2 + 1).astype(int)
    stretches = list(pairwise(bounds))
    lowest = [low + int(np.argmin(y[low:high])) for low, high in stretches]
    highest = [low + int(np.argmax(y[low:high])) for low, high in stretches]
    kept = np.unique([0, *lowest, *highest, len(x) - 1])
    return x[kept], y[kept]


def smooth(x: Numbers, y: Numbers, points: int = 300, half_life: float = 0.02) -> tuple[Numbers, Numbers]:
    r"""The exponential moving average of a curve, :math:`m_i = w m_{i-1} + (1 - w) y_i`, without its bias to 0.

    A long curve is averaged over equal stretches first.

    Args:
        x: places, ascending, ``(n,)``.
        y: values, ``(n,)``, finite.
        points: at most so many.
        half_life: of a value's weight, as a share of the curve.
    """
    if len(x) > points:
        bounds = np.linspace(0, len(x), points + 1).astype(int)
        counts = np.diff(bounds)
        y = np.add.reduceat(y, bounds[:-1]) / counts
        x = x[bounds[1:] - 1]
    weight = 0.5 ** (1 / max(half_life * len(x), 1))
    mean, total, means = 0.0, 0.0, []
    for value in y:
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        means.append(mean / total)
    return x, np.array(means)


def is_logarithmic(curves: Sequence[Numbers]) -> bool:
    """Whether values are told apart better on a logarithmic axis: all above 0, over more than a decade.

    What but a tenth of the values reach does not count.
    """
    values = np.concatenate([*curves, np.empty(0)])
    if len(values) == 0 or values.min() <= 0:
        return False
    low, high = np.quantile(values, [0.05, 0.95])
    return bool(math.log10(high / low) > _DECADES)


def rounded(values: Numbers) -> list[float | int]:
    """With five digits, which is more than a chart shows; whole numbers in full."""
    return [int(value) if value == int(value) else float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
