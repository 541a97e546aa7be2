r"""How many modes of a known mixture the samples reach, how well, and how evenly."""

from typing import NamedTuple

import torch
from torch import Tensor

from poise.errors import MetricError, ShapeError
from poise.metrics.checks import checked_points
from poise.metrics.classes import divergence
from poise.metrics.nearest import nearest

__all__ = ["Modes", "modes"]


class Modes(NamedTuple):
    """What :func:`modes` counts.

    Attributes:
        captured: modes with at least one sample of high quality.
        high_quality: the share of samples of high quality. Perfect samples in 2-D have 1 - exp(-9 / 2) = 98.89 %.
        kl: of the samples' histogram over the modes against the true weights, in nats. n perfect samples have
            (k - 1) / (2 n) on average.
        mixture_kl: of the samples of high quality over the modes, and of all others together, against what the mixture
            has there, in nats: one number for quality and evenness. n perfect samples have k / (2 n) on average.
    """

    captured: int
    high_quality: float
    kl: float
    mixture_kl: float


def modes(samples: Tensor, means: Tensor, sigma: float, weights: Tensor | None = None, within: float = 3.0) -> Modes:
    r"""Captured modes, the share of high-quality samples, and the KL divergence over modes.

    A sample belongs to the nearest mode. It is of high quality when it lies within ``within`` standard deviations of
    that mode's centre; a mode is captured when at least one sample of high quality belongs to it. The divergence is the
    «reverse» one of the literature, over all samples, of high quality or not:

    .. math:: \mathrm{KL}(q \Vert p) = \sum_i q_i \log \frac{q_i}{p_i},

    with q the shares of the samples and p the weights. That of the mixture is the same over k + 1 places, the modes up
    to ``within`` standard deviations and the rest, so that it is that of the share h of high quality against the true
    one, plus h times that of the good samples over the modes:

    .. math:: h \log \frac hm + (1 - h) \log \frac{1 - h}{1 - m} + h\,\mathrm{KL}(q_{\mathrm{good}} \Vert p),
        \qquad m = P\big(\chi^2_d \le \mathrm{within}^2\big)

    Args:
        samples: ``(n, d)``.
        means: the centres of the modes, ``(k, d)``.
        sigma: the standard deviation of a mode along each axis, above 0.
        weights: of the modes, ``(k,)``, above 0; equal if none are given.
        within: standard deviations.

    Raises:
        ShapeError: when samples and centres have not one dimension.
        MetricError: when there is no sample, some are not finite, sigma is not above 0, or the weights are none.

    Source: Lin et al. 2017, PacGAN, arXiv 1712.04086, section 4.1; the test goes back to Srivastava et al. 2017,
    VEEGAN, arXiv 1705.07761, section 4.1.
    """
    points, centers = checked_points(samples, "samples"), checked_points(means, "centres of modes")
    if points.shape[1] != centers.shape[1]:
        raise ShapeError(f"samples have {points.shape[1]} dimensions and the modes' centres {centers.shape[1]}")
    if not sigma > 0:
        raise MetricError(f"sigma is {sigma}; the standard deviation of a mode is above 0")
    apart, belongs = nearest(points, centers.to(points.device))
    good = apart <= within * sigma
    k = len(centers)
    p = torch.full((k,), 1 / k, dtype=torch.float64) if weights is None else weights.double().cpu()
    everywhere, inside = (torch.bincount(labels, minlength=k).cpu() for labels in (belongs, belongs[good]))
    shape, reach = torch.tensor([points.shape[1] / 2, within**2 / 2], dtype=torch.float64)
    mass = torch.special.gammainc(shape, reach)
    outside = (~good).sum().cpu()
    return Modes(
        captured=int((inside > 0).sum()),
        high_quality=float(good.double().mean()),
        kl=divergence(everywhere, p),
        mixture_kl=divergence(torch.hstack([inside, outside]), torch.hstack([p / p.sum() * mass, 1 - mass])),
    )
