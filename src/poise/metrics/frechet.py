r"""The Fréchet distance between Gaussians that were fitted to features: FID."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from poise.metrics.checks import checked_points, require_one_space

__all__ = ["Statistics", "fid", "statistics"]


class Statistics(NamedTuple):
    """What FID needs of a set of features; computed once for the real side, and small enough to be stored.

    Attributes:
        mean: ``(d,)``, float64.
        covariance: ``(d, d)``, float64, unbiased.
        samples: of how many samples.
    """

    mean: Tensor
    covariance: Tensor
    samples: int


def statistics(features: Tensor, what: str = "samples") -> Statistics:
    """Mean and covariance of features, in float64.

    Args:
        features: ``(n, d)``.
        what: they are of, for messages.

    Raises:
        MetricError: when there are fewer than 2, or some are not finite.
    """
    points = checked_points(features, what, least=2)
    dimensions = points.shape[1]
    return Statistics(points.mean(dim=0), torch.cov(points.T).reshape(dimensions, dimensions), len(points))


def fid(real: Tensor | Statistics, fake: Tensor | Statistics) -> float:
    r"""The Fréchet inception distance, of any features.

    .. math:: \lVert \mu_r - \mu_f \rVert^2 + \operatorname{tr}\big(\Sigma_r + \Sigma_f
        - 2 (\Sigma_r^{1/2} \Sigma_f \Sigma_r^{1/2})^{1/2}\big)

    which is the squared 2-Wasserstein distance between :math:`\mathcal N(\mu_r, \Sigma_r)` and
    :math:`\mathcal N(\mu_f, \Sigma_f)`. The product under the root is symmetric and positive, and has the eigenvalues
    of :math:`\Sigma_r \Sigma_f`; so the trace of its root is a sum of square roots of real numbers, where a root of
    :math:`\Sigma_r \Sigma_f` itself gets complex by rounding. All in float64.

    Args:
        real: features ``(n, d)``, or their :func:`statistics`.
        fake: features ``(m, d)``, or their statistics.

    Returns:
        The distance in squared units of the features, at least 0. Lower is better. Its bias falls with the number of
        samples, so only numbers of equal counts can be compared.

    Raises:
        ShapeError: when the features' dimensions differ.
        MetricError: when there are fewer than 2 samples on one side, or some are not finite.

    Warns:
        UserWarning: when there are fewer samples than dimensions, so that a covariance is singular and the number is
            more bias than distance.

    Source: Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, arXiv 1706.08500, equation 6.
    """
    r = real if isinstance(real, Statistics) else statistics(real, "real samples")
    f = fake if isinstance(fake, Statistics) else statistics(fake, "fake samples")
    dimensions = len(r.mean)
    require_one_space(dimensions, len(f.mean))
    if (fewest := min(r.samples, f.samples)) <= dimensions:
        warnings.warn(
            f"FID of {fewest:,} samples in {dimensions:,} dimensions is mostly bias: take more than "
            f"{dimensions:,} samples, or KID, which has none",
            stacklevel=2,
        )
    root = _root(r.covariance)
    product = root @ f.covariance.to(root) @ root
    eigenvalues = torch.linalg.eigvalsh((product + product.T) / 2)
    distance = (r.mean - f.mean.to(r.mean)).square().sum()
    distance += r.covariance.trace() + f.covariance.trace().to(distance) - 2 * eigenvalues.clamp(min=0).sqrt().sum()
    return max(float(distance), 0.0)


def _root(matrix: Tensor) -> Tensor:
    """The symmetric root of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root
