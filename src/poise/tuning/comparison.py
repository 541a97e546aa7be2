"""Whether trials differ by more than their seeds do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

__all__ = ["LEVEL", "METHOD", "Difference", "Summary", "differences_of", "holm", "summary"]

LEVEL = 0.05

METHOD = (
    f"Welch's t-test of every two trials over their seeds, two-sided at {LEVEL:g} after Holm's correction for all "
    "pairs; the interval is that of the difference of means, 95 % without correction. It takes runs to be independent "
    "and their values to be about normal, and not their spreads to be equal. A few seeds show large differences only: "
    "what is not beyond noise may be there all the same."
)
"""How differences are judged."""


@dataclass(frozen=True)
class Summary:
    """The values of one trial.

    Attributes:
        count: how many.
        mean: their mean.
        spread: their standard deviation, with n - 1; None of one value.
        low: the smallest.
        high: the largest.
    """

    count: int
    mean: float
    spread: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Two trials, and how sure it is that they differ.

    Attributes:
        first: the name of one.
        second: the name of the other.
        difference: the second's mean minus the first's.
        low: the lower end of its 95 % interval.
        high: the upper end.
        p: how often a difference at least as large would come of seeds alone, after Holm's correction.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def is_beyond_noise(self) -> bool:
        """Whether seeds alone would hardly make it."""
        return self.p < LEVEL


def summary(values: Sequence[float]) -> Summary | None:
    """What values are like; None where there are none."""
    if not values:
        return None
    spread = stdev(values) if len(values) > 1 else None
    return Summary(len(values), fmean(values), spread, min(values), max(values))


def differences_of(values: Mapping[str, Sequence[float]]) -> list[Difference]:
    """Every two trials that have two values or more each, and some spread between them.

    Args:
        values: by the names of trials.

    Source: Welch 1947, "The generalization of 'Student's' problem when several different population variances are
    involved"; Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    pairs = [
        (first, second)
        for first, second in combinations(values, 2)
        if min(len(values[first]), len(values[second])) > 1 and stdev(values[first]) + stdev(values[second]) > 0
    ]
    tested = [_welch(values[first], values[second]) for first, second in pairs]
    adjusted = holm([p for *_, p in tested])
    return [
        Difference(first, second, difference, low, high, p)
        for (first, second), (difference, low, high, _), p in zip(pairs, tested, adjusted, strict=True)
    ]


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float, float]:
    """The difference of means, its 95 % interval, and p."""
    from scipy.stats import ttest_ind

    result = ttest_ind(second, first, equal_var=False)
    interval = result.confidence_interval(0.95)
    return fmean(second) - fmean(first), float(interval.low), float(interval.high), float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of tests that are made together: the smallest times their number, the next times one less, and so on.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
