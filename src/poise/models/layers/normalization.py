"""Normalizations that torch does not have, and statistics of a batch."""

import torch
from torch import Tensor, nn

from poise.errors import ShapeError
from poise.parallel import batch

__all__ = ["AdaptiveInstanceNorm", "EzNorm", "MinibatchStddev", "PixelNorm"]


def _per_channel(vector: Tensor, x: Tensor) -> Tensor:
    """``(n, c)`` shaped to multiply ``(n, c, ...)``."""
    return vector.reshape(*vector.shape, *[1] * (x.ndim - 2))


class PixelNorm(nn.Module):
    r"""The vector of channels at each position, divided by its root mean square.

    .. math:: y_c = x_c \Big/ \sqrt{\tfrac1C \textstyle\sum_{c'} x_{c'}^2 + 10^{-8}}

    Source: Karras et al. 2017, Progressive Growing of GANs, arXiv 1710.10196, section 4.2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to the same shape."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class AdaptiveInstanceNorm(nn.Module):
    r"""Each channel of each sample normalized over its positions, then given a scale and a shift that follow a style.

    .. math:: y = (1 + \gamma(w)) \frac{x - \mu(x)}{\sqrt{\sigma^2(x) + 10^{-5}}} + \beta(w)

    with linear maps for :math:`\gamma` and :math:`\beta`.

    Args:
        channels: channels of the input.
        style_features: the style's dimension.

    Source: Huang and Belongie 2017, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, arXiv
    1703.06868, equation 8; with a learned style: Karras et al. 2018, arXiv 1812.04948, equation 1.
    """

    def __init__(self, channels: int, style_features: int) -> None:
        super().__init__()
        self.scale = nn.Linear(style_features, channels)
        self.shift = nn.Linear(style_features, channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``(n, c, ...)`` and ``(n, d)`` to the shape of x."""
        variance, mean = torch.var_mean(x, tuple(range(2, x.ndim)), correction=0, keepdim=True)
        normalized = (x - mean) * torch.rsqrt(variance + 1e-5)
        return (1 + _per_channel(self.scale(style), x)) * normalized + _per_channel(self.shift(style), x)


class EzNorm(nn.Module):
    r"""A map of the style for each channel, times a map of all channels for each position.

    .. math:: y_{c,p} = \beta_c(w)\, \textstyle\sum_{c'} a_{c'} x_{c',p} + \beta_c(w)\, a_0

    which is a linear map of the style times a 1 x 1 convolution to one channel. In HyperGAN it is added to its input:
    ``add self (ez_norm)``.

    Args:
        channels: channels of the input.
        style_features: the style's dimension.

    Source: HyperGAN 1.x, layer ``ez_norm``.
    """

    def __init__(self, channels: int, style_features: int) -> None:
        super().__init__()
        self.beta = nn.Linear(style_features, channels)
        self.conv = nn.Conv1d(channels, 1, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``(n, c, ...)`` and ``(n, d)`` to the shape of x."""
        positions: Tensor = self.conv(x.flatten(2)).reshape(x.shape[0], 1, *x.shape[2:])
        return _per_channel(self.beta(style), x) * positions


class MinibatchStddev(nn.Module):
    r"""One more channel, that tells how much the samples of a batch differ.

    The standard deviation over the samples of each group, for every feature at every position, averaged to one number:

    .. math:: y_{C+1} = \tfrac1{CP} \textstyle\sum_{c,p} \sqrt{\operatorname{Var}_n(x_{n,c,p}) + 10^{-8}}

    It makes a sample's output depend on the others, so a gradient penalty is no longer that of one sample.

    Args:
        group: samples of a group; None takes the whole batch for one.

    Source: Karras et al. 2017, Progressive Growing of GANs, arXiv 1710.10196, section 3.
    """

    def __init__(self, group: int | None = None) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to ``(n, c + 1, ...)``.

        Raises:
            ShapeError: when groups do not divide the batch.
        """
        n = x.shape[0]
        group = max(1, n if self.group is None else min(self.group, n))
        if n % group:
            raise ShapeError(
                f"minibatch_stddev has groups of {group} and was given {n} samples; give a batch that they "
                "divide, or another group="
            )
        groups = x.reshape(n // group, group, *x.shape[1:])
        deviation = (self._variance(groups) + 1e-8).sqrt().flatten(1).mean(1)
        channel = deviation.repeat_interleave(group).reshape(-1, *[1] * (x.ndim - 1))
        return torch.cat((x, channel.expand(-1, 1, *x.shape[2:])), 1)

    def _variance(self, groups: Tensor) -> Tensor:
        """Over the samples of each group, ``(groups, ...)``; the whole batch may be spread over processes."""
        if self.group is None and batch.is_spread():
            mean = batch.mean(groups, 1)
            return batch.mean((groups - mean[:, None]).square(), 1)
        return groups.var(1, correction=0)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return f"group={self.group}"
