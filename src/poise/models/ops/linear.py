"""Linear layers and convolutions."""

from collections import OrderedDict
from math import prod
from typing import Literal

from torch import nn

from poise.models.arguments import Count, Dims, Positive, Size
from poise.models.layers import EqualLinear, Linear, ModulatedConv2d, Styled
from poise.models.ops.sizes import check_halves, convolved, pixel_shuffle, upsample
from poise.models.site import Made, MisfitError, RefusedError, Site

__all__ = ["CONVOLUTIONS", "conv", "deconv", "equal_linear", "linear", "modulated_conv2d", "resize_conv", "subpixel"]

CONVOLUTIONS = {2: nn.Conv1d, 3: nn.Conv2d}
"""By the rank of a sample."""

_TRANSPOSED = {2: nn.ConvTranspose1d, 3: nn.ConvTranspose2d}


def linear(site: Site, features: Dims, *, bias: bool = True) -> Made:
    """A linear layer; what comes in is flattened, and ``linear 4*4*512`` gives (512, 4, 4)."""
    return Linear(prod(site.shape), features, bias), features


def equal_linear(
    site: Site, features: Dims, *, bias: bool = True, lr_mul: Positive = 1.0, gain: Positive = 1.0
) -> Made:
    """A linear layer at an equalized learning rate, times ``lr_mul`` (Karras et al. 2017)."""
    return EqualLinear(prod(site.shape), features, bias, lr_mul, gain), features


def conv(
    site: Site,
    channels: Count | None = None,
    *,
    stride: Count = 1,
    filter_: Count = 3,
    padding: Size = 1,
    dilation: Count = 1,
    groups: Count = 1,
    bias: bool = True,
) -> Made:
    """A convolution of an image or a signal."""
    site.require(3, 2)
    channels = channels or site.channels
    _check_groups(groups, site.channels, channels)
    shape = (channels, *convolved(site, stride, filter_, padding, dilation))
    convolution = CONVOLUTIONS[len(site.shape)]
    return convolution(site.channels, channels, filter_, stride, padding, dilation, groups, bias), shape


def deconv(
    site: Site,
    channels: Count | None = None,
    *,
    stride: Count = 2,
    filter_: Count = 4,
    padding: Size = 1,
    dilation: Count = 1,
    groups: Count = 1,
    bias: bool = True,
) -> Made:
    """A transposed convolution, which doubles an image or a signal unless told otherwise."""
    site.require(3, 2)
    channels = channels or site.channels
    _check_groups(groups, site.channels, channels)
    positions = tuple((size - 1) * stride - 2 * padding + dilation * (filter_ - 1) + 1 for size in site.positions)
    if min(positions) < 1:
        raise MisfitError(f"leaves nothing with filter={filter_} stride={stride} padding={padding}", at="padding")
    transposed = _TRANSPOSED[len(site.shape)]
    module = transposed(site.channels, channels, filter_, stride, padding, groups=groups, bias=bias, dilation=dilation)
    return module, (channels, *positions)


def resize_conv(
    site: Site,
    channels: Count | None = None,
    *,
    w: Count | None = None,
    h: Count | None = None,
    mode: Literal["bilinear", "linear", "nearest"] = "bilinear",
    filter_: Count = 3,
    padding: Size = 1,
    dilation: Count = 1,
    groups: Count = 1,
    bias: bool = True,
) -> Made:
    """Twice the size, or ``w`` by ``h``, by interpolation, and then a convolution."""
    resized, shape = upsample(site, w=w, h=h, mode=mode)
    convolution, shape = conv(
        site._replace(shape=shape),
        channels,
        filter_=filter_,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    return nn.Sequential(OrderedDict(upsample=resized, conv=convolution)), shape


def subpixel(
    site: Site,
    channels: Count | None = None,
    *,
    filter_: Count = 3,
    padding: Size = 1,
    dilation: Count = 1,
    groups: Count = 1,
    bias: bool = True,
) -> Made:
    """A convolution to four times the channels, of which each four become 2 x 2 positions (Shi et al. 2016)."""
    site.require(3)
    convolution, shape = conv(
        site,
        4 * (channels or site.channels),
        filter_=filter_,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    shuffle, shape = pixel_shuffle(site._replace(shape=shape))
    return nn.Sequential(OrderedDict(conv=convolution, shuffle=shuffle)), shape


def modulated_conv2d(
    site: Site,
    channels: Count | None = None,
    resample: Literal["conv", "upsample", "downsample"] = "conv",
    *,
    style: str = "w",
    filter_: Count = 3,
    demodulate: bool = True,
    bias: bool = False,
    lr_mul: Positive = 1.0,
) -> Made:
    """A convolution whose weights a style scales (Karras et al. 2019); ``upsample`` doubles, ``downsample`` halves."""
    site.require(3)
    if filter_ % 2 == 0:
        raise RefusedError(f"takes a filter of odd size, not {filter_}", at="filter")
    features = prod(site.shape_of(style, at="style"))
    _, height, width = site.shape
    if resample == "downsample":
        check_halves(site, at="resample")
        height, width = height // 2, width // 2
    elif resample == "upsample":
        height, width = 2 * height, 2 * width
    channels = channels or site.channels
    module = ModulatedConv2d(site.channels, channels, features, filter_, demodulate, resample, bias, lr_mul)
    return Styled(module, style), (channels, height, width)


def _check_groups(groups: int, channels: int, out_channels: int) -> None:
    if channels % groups or out_channels % groups:
        raise MisfitError(
            f"needs groups that divide its {channels} channels in and {out_channels} out, not {groups}", "groups"
        )
