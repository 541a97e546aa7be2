r"""Whether samples lie nearer to the training data than new data would: copying, and which pictures were copied."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from poise.metrics.checks import checked_many, checked_points, require_one_space
from poise.metrics.nearest import nearest

__all__ = ["Memorization", "memorization"]


class Memorization(NamedTuple):
    """What :func:`memorization` finds.

    Attributes:
        z: the z-score of the test, C_T; well below 0 (under about -3) the samples are nearer to the training data than
            new data is, because they are copies, or all alike and where data is dense; above it they are far from all
            data. It takes the samples for independent ones.
        nearer: the probability that a sample is nearer to its training neighbour than unseen data is to its own: 0.5
            where there is no difference, 1 for copies.
        neighbours: the index of each sample's nearest training sample, ``(n,)``, to be shown beside it.
        distances: to it, ``(n,)``.
    """

    z: float
    nearer: float
    neighbours: Tensor
    distances: Tensor


def memorization(fake: Tensor, train: Tensor, held_out: Tensor | None = None) -> Memorization:
    r"""The data-copying test: distances to the nearest training sample, of samples against unseen data.

    With :math:`L(y)` the distance from y to its nearest training sample, m samples y and l held-out points x,

    .. math:: U = \sum_{j, i} 1[L(y_j) > L(x_i)] + \tfrac12 1[L(y_j) = L(x_i)], \qquad
        z = \frac{U - m l / 2}{\sqrt{m l (m + l + 1) / 12}}, \qquad \text{nearer} = 1 - \frac{U}{m l}

    the Mann-Whitney statistic. This is the test of the paper on the whole space, as one cell.

    Args:
        fake: features of the samples, ``(m, d)``.
        train: features of all that the generator was trained on, ``(n, d)``.
        held_out: features of data of the same kind that it was not trained on, ``(l, d)``. If none are given,
            m training samples (or all) stand for them, each with the others as training data: its distance to these is
            distributed as that of a new one to n - 1 training samples.

    Raises:
        ShapeError: when the features' dimensions differ.
        MetricError: when there are fewer than 2 training samples, no others, or some are not finite.

    Source: Meehan, Chaudhuri and Dasgupta 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models,
    arXiv 2004.05675, section 3.
    """
    samples = checked_points(fake, "fake samples")
    seen = checked_many(train, "training samples", least=2)
    require_one_space(seen.shape[1], samples.shape[1])
    found, neighbours = nearest(samples.to(seen.device), seen)
    if held_out is None:
        standing = torch.linspace(0, len(seen) - 1, min(len(seen), len(samples)), device=seen.device).round().long()
        expected, _ = nearest(seen[standing], seen, standing)
    else:
        unseen = checked_points(held_out, "held-out samples")
        require_one_space(seen.shape[1], unseen.shape[1])
        expected, _ = nearest(unseen.to(seen.device), seen)
    u = _above(found, expected)
    m, n = len(found), len(expected)
    z = (u - m * n / 2) / sqrt(m * n * (m + n + 1) / 12)
    return Memorization(z, 1 - u / (m * n), neighbours, found)


def _above(values: Tensor, others: Tensor) -> float:
    """How many pairs have the value above the other one; ties count half."""
    ordered = others.sort().values
    below, not_above = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return float((below + not_above).double().sum() / 2)
