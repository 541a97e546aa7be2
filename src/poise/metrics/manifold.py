r"""How far the supports of two sets of features agree: precision, recall, density and coverage."""

from typing import NamedTuple

import torch
from torch import Tensor

from poise.errors import MetricError
from poise.metrics.checks import checked_pair
from poise.metrics.nearest import distances, radii

__all__ = ["Prdc", "coverage", "density", "prdc", "precision", "recall"]


class Prdc(NamedTuple):
    """All four numbers; each is better high."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k_manifold: int = 3, k: int = 5) -> Prdc:
    r"""Precision, recall, density and coverage of n real samples x and m fake ones y.

    With :math:`B_k(x_i)` the closed ball around a sample that reaches to its k-th nearest neighbour among its own kind:

    .. math::
        \text{precision} &= \tfrac1m \sum_j 1[y_j \in \textstyle\bigcup_i B_3(x_i)] \\
        \text{recall} &= \tfrac1n \sum_i 1[x_i \in \textstyle\bigcup_j B_3(y_j)] \\
        \text{density} &= \tfrac1{k m} \sum_j \sum_i 1[y_j \in B_k(x_i)] \\
        \text{coverage} &= \tfrac1n \sum_i 1[\exists j: y_j \in B_k(x_i)]

    All are in [0, 1] but density, which is about 1 for equal distributions and has no limit.

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.
        k_manifold: the neighbour of precision and recall.
        k: the neighbour of density and coverage.

    Raises:
        ShapeError: when the features' dimensions differ.
        MetricError: when a side has no more samples than the larger k, or some are not finite.

    Source: Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, arXiv
    1904.06991, equations 1 and 2, with k of 3; Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for
    Generative Models, arXiv 2002.09797, equations 4 and 6, with k of 5.
    """
    if min(k_manifold, k) < 1:
        raise MetricError(
            f"k is {min(k_manifold, k)}; the neighbour that a ball reaches to is the first or a later one"
        )
    x, y = checked_pair(real, fake, least=max(k_manifold, k) + 1)
    reach = radii(x, max(k_manifold, k))
    of_real, of_real_manifold = reach[:, k - 1], reach[:, k_manifold - 1]
    of_fake = radii(y, k_manifold)[:, -1]
    precise, dense = torch.zeros(len(y), dtype=torch.bool, device=y.device), 0
    recalled, covered = torch.zeros(2, len(x), dtype=torch.bool, device=x.device)
    for block, apart in distances(y, x):
        precise[block] = (apart <= of_real_manifold).any(dim=1)
        inside = apart <= of_real
        dense += int(inside.sum())
        covered |= inside.any(dim=0)
        recalled |= (apart <= of_fake[block, None]).any(dim=0)
    shares = (float(it.double().mean()) for it in (precise, recalled, covered))
    return Prdc(next(shares), next(shares), dense / (k * len(y)), next(shares))


def precision(real: Tensor, fake: Tensor, k: int = 3) -> float:
    """The share of fake samples among the real ones: see :func:`prdc`."""
    return prdc(real, fake, k_manifold=k, k=k).precision


def recall(real: Tensor, fake: Tensor, k: int = 3) -> float:
    """The share of real samples among the fake ones: see :func:`prdc`."""
    return prdc(real, fake, k_manifold=k, k=k).recall


def density(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """How densely real samples lie around fake ones: see :func:`prdc`."""
    return prdc(real, fake, k_manifold=k, k=k).density


def coverage(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """The share of real samples that have a fake one near: see :func:`prdc`."""
    return prdc(real, fake, k_manifold=k, k=k).coverage
