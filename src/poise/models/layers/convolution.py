"""Convolutions that torch does not have: fixed low-pass filters, and filters that a constant or a style scales."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, interpolate, pad

from poise.models.layers.linear import EqualLinear

__all__ = ["Blur", "EqualConv2d", "ModulatedConv2d"]


def _low_pass(taps: Sequence[float], rank: int) -> Tensor:
    """A filter for signals or images, whose weights sum to 1: ``(1, 1, k)`` or ``(1, 1, k, k)``."""
    line = torch.tensor(taps, dtype=torch.get_default_dtype())
    kernel = line if rank == 1 else line[:, None] * line
    return (kernel / kernel.sum())[None, None]


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Every channel convolved with ``kernel``, without padding."""
    channels = x.shape[1]
    convolve = conv1d if x.ndim == 3 else conv2d
    return convolve(x, kernel.expand(channels, *kernel.shape[1:]), groups=channels)


class Blur(nn.Module):
    """The binomial filter [1, 2, 1] / 4 along each dimension of positions; the size stays.

    Borders are reflected (without the border itself), so that a constant stays constant.

    Args:
        rank: 1 for signals, 2 for images, each side of which has at least two positions.

    Source: Zhang 2019, Making Convolutional Networks Shift-Invariant Again, arXiv 1904.11486.
    """

    kernel: Tensor

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.register_buffer("kernel", _low_pass((1, 2, 1), rank), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, length)`` or ``(n, c, h, w)`` to the same shape."""
        for dim in range(2, x.ndim):  # reflection by slices: pad's own has no deterministic gradient on CUDA
            x = torch.cat((x.narrow(dim, 1, 1), x, x.narrow(dim, x.shape[dim] - 2, 1)), dim)
        return _filtered(x, self.kernel)


class EqualConv2d(nn.Module):
    r"""A convolution at an equalized learning rate: weights from N(0, 1), scaled by a constant at run time.

    .. math:: W = c\, w, \qquad c = g / \sqrt{\mathrm{fan\_in}}

    Args:
        channels: input channels.
        out_channels: output channels.
        filter_size: taps along each side.
        padding: zeros along each border.
        gain: the factor g for what the activation takes away; :math:`\sqrt 2` is He's for relu.

    Source: Karras et al. 2017, Progressive Growing of GANs, arXiv 1710.10196, section 4.1.
    """

    def __init__(self, channels: int, out_channels: int, filter_size: int, padding: int = 0, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        self.weight_scale = gain / (filter_size * sqrt(channels))
        self.weight = nn.Parameter(torch.randn(out_channels, channels, filter_size, filter_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` to ``(n, out_channels, h', w')``."""
        return conv2d(x, self.weight_scale * self.weight, self.bias, padding=self.padding)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        out_channels, channels, taps, _ = self.weight.shape
        return f"{channels}, {out_channels}, {taps}, padding={self.padding}"


class ModulatedConv2d(nn.Module):
    r"""A convolution whose input channels a style scales, and whose output channels are brought back to unit variance.

    .. math:: w'_{ijk} = s_i\, w_{ijk}, \qquad w''_{ijk} = \frac{w'_{ijk}}{\sqrt{\sum_{i,k} w'^2_{ijk} + 10^{-8}}}

    with an affine map of the style for s (1 at first), input channels i, output channels j and taps k. As a convolution
    is linear, scaling its input by s and dividing its output by the root is the same, with one filter for the batch.

    Args:
        channels: input channels.
        out_channels: output channels.
        style_features: the style's dimension.
        filter_size: taps along each side, odd.
        demodulate: whether output channels are brought back.
        resample: ``upsample`` doubles the sides first, bilinearly, which is a filter [1, 3, 3, 1] between zeros;
            ``downsample`` halves them (rounding down), after the same filter; ``conv`` leaves them.
        bias: whether a bias is added to the output.
        lr_mul: the factor of the learning rate of the style's map.

    Source: Karras et al. 2019, Analyzing and Improving the Image Quality of StyleGAN, arXiv 1912.04958, equations 1 and
    3, and the weights' scale of :class:`EqualLinear`.
    """

    kernel: Tensor

    def __init__(
        self,
        channels: int,
        out_channels: int,
        style_features: int,
        filter_size: int = 3,
        demodulate: bool = True,
        resample: Literal["conv", "upsample", "downsample"] = "conv",
        bias: bool = False,
        lr_mul: float = 1.0,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.demodulate = demodulate
        self.weight_scale = 1 / (filter_size * sqrt(channels))
        self.weight = nn.Parameter(torch.randn(out_channels, channels, filter_size, filter_size))
        self.style = EqualLinear(style_features, (channels,), lr_mul=lr_mul, bias_start=1.0)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("kernel", _low_pass((1, 3, 3, 1), 2), persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``(n, c, h, w)`` and ``(n, d)`` to ``(n, out_channels, h', w')``."""
        weight = self.weight_scale * self.weight
        scale: Tensor = self.style(style)
        x = x * scale[:, :, None, None]
        taps = weight.shape[-1]
        if self.resample == "downsample":
            # Two positions of padding are the filter's, taps - 1 the convolution's: half the size comes out.
            y = conv2d(_filtered(pad(x, [(taps + 1) // 2] * 4), self.kernel), weight, stride=2)
        else:
            if self.resample == "upsample":
                x = interpolate(x, scale_factor=2, mode="bilinear")
            y = conv2d(x, weight, padding=taps // 2)
        if self.demodulate:
            squares = scale.square() @ weight.square().sum((2, 3)).T
            y = y * torch.rsqrt(squares + 1e-8)[:, :, None, None]
        return y if self.bias is None else y + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        out_channels, channels, taps, _ = self.weight.shape
        return f"{channels}, {out_channels}, {taps}, resample={self.resample}, demodulate={self.demodulate}"
