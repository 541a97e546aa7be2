r"""The sliced Wasserstein distance: needs no trained features, so it works offline, for images and vectors alike."""

import torch
from torch import Tensor

from poise.errors import ShapeError

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(real: Tensor, fake: Tensor, projections: int = 512, seed: int = 0) -> float:
    r"""The sliced 2-Wasserstein distance between two samples, in the data's units.

    .. math:: \mathrm{SW}_2 = \Big( \mathbb E_\theta \int_0^1 \big(F_\theta^{-1}(q) - G_\theta^{-1}(q)\big)^2 dq
        \Big)^{1/2}

    with :math:`F_\theta, G_\theta` the samples' distributions along a uniformly drawn unit vector :math:`\theta`. Two
    equal Gaussians in d dimensions shifted by m are :math:`\lVert m \rVert / \sqrt d` apart.

    Args:
        real: ``(n, ...)``, of any floating or integer type; flattened to ``(n, d)``.
        fake: ``(m, ...)``, of the same sample shape; where m is not n, both quantile functions are interpolated at
            the smaller count's midpoints.
        projections: random directions averaged over.
        seed: of the directions; one seed makes two numbers comparable to within the samples' own noise.

    Raises:
        ShapeError: when the samples' shapes differ or one side is empty.

    Source: Rabin et al. 2011, Wasserstein Barycenter and Its Application to Texture Mixing; Bonneel et al. 2015, Sliced
    and Radon Wasserstein Barycenters of Measures.
    """
    if real.shape[1:] != fake.shape[1:] or not len(real) or not len(fake):
        raise ShapeError(
            f"real samples have shape {tuple(real.shape)} and fake ones {tuple(fake.shape)}; both need at least one "
            "sample, all of one shape"
        )
    real, fake = (it.flatten(1) if it.is_floating_point() else it.flatten(1).float() for it in (real, fake))
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(real.shape[1], projections, generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).to(real)
    quantiles = [torch.sort(samples @ directions, dim=0).values.double() for samples in (real, fake.to(real))]
    if len(real) != len(fake):
        count = min(len(real), len(fake))
        levels = (torch.arange(count, dtype=torch.float64, device=real.device) + 0.5) / count
        quantiles = [_quantiles(values, levels) for values in quantiles]
    return float((quantiles[0] - quantiles[1]).square().mean().sqrt())


def _quantiles(ordered: Tensor, levels: Tensor) -> Tensor:
    """Linear interpolation of each column's order statistics, the i-th of n standing at level (i + 0.5) / n."""
    position = (levels * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], (position - below).unsqueeze(1))
