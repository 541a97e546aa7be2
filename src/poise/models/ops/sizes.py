"""Sizes and shapes."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Literal

from torch import nn

from poise.models.arguments import Count, Dims, OpenDims, Share, Size
from poise.models.layers import Blur, Reshape, Split
from poise.models.site import Made, MisfitError, Shape, Site

__all__ = [
    "adaptive_avg_pool",
    "avg_pool",
    "blur",
    "check_halves",
    "convolved",
    "dropout",
    "flatten",
    "identity",
    "pad",
    "pixel_shuffle",
    "reshape",
    "split",
    "upsample",
]

_DROPOUTS = {1: nn.Dropout, 2: nn.Dropout1d, 3: nn.Dropout2d}
_AVERAGES = {2: nn.AvgPool1d, 3: nn.AvgPool2d}
_ADAPTIVE_AVERAGES = {2: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool2d}


def upsample(
    site: Site,
    *,
    w: Count | None = None,
    h: Count | None = None,
    mode: Literal["bilinear", "linear", "nearest"] = "bilinear",
) -> Made:
    """Twice the size, or ``w`` by ``h``, by interpolation; the length of a signal is its ``h``."""
    site.require(3, 2)
    if len(site.shape) == 2 and w is not None:
        raise MisfitError("takes the length of a signal as h=", at="w")
    sides = zip((h, w), site.positions, strict=False)
    positions = tuple(given or 2 * size for given, size in sides)
    if mode != "nearest":
        mode = "bilinear" if len(positions) == 2 else "linear"
    return nn.Upsample(positions, mode=mode), (site.channels, *positions)


def pixel_shuffle(site: Site, factor: Count = 2) -> Made:
    """Each ``factor`` * ``factor`` channels become as many positions (Shi et al. 2016)."""
    site.require(3)
    channels, height, width = site.shape
    if channels % factor**2:
        raise MisfitError(f"needs a multiple of {factor**2} channels", at="factor")
    return nn.PixelShuffle(factor), (channels // factor**2, factor * height, factor * width)


def blur(site: Site) -> Made:
    """The filter [1, 2, 1] / 4 along each side, with reflected borders; the size stays."""
    site.require(3, 2)
    if min(site.positions) < 2:
        raise MisfitError("reflects the borders, which takes at least two positions along each side")
    return Blur(len(site.positions)), site.shape


def avg_pool(site: Site, *, filter_: Count = 2, stride: Count | None = None, padding: Size = 0) -> Made:
    """Means of ``filter`` by ``filter`` positions, 2 by 2 unless told otherwise, which halves."""
    site.require(3, 2)
    if 2 * padding > filter_:
        raise MisfitError(f"takes a padding of at most half its filter={filter_}, not {padding}", at="padding")
    shape = (site.channels, *convolved(site, stride or filter_, filter_, padding))
    return _AVERAGES[len(site.shape)](filter_, stride, padding), shape


def adaptive_avg_pool(site: Site, size: Dims | None = None) -> Made:
    """Means over as many areas as ``size`` W*H (or one number for each side) has; without it, half the size."""
    site.require(3, 2)
    if size is None:
        check_halves(site)
        size = tuple(side // 2 for side in site.positions)
    elif len(size) == 1:
        size *= len(site.positions)
    if len(size) != len(site.positions):
        raise MisfitError("takes a size for each side of the positions", at="size")
    return _ADAPTIVE_AVERAGES[len(site.shape)](size), (site.channels, *size)


def check_halves(site: Site, at: str | None = None) -> None:
    """Refuse sides of one position, ``at`` the argument that asks for their half."""
    if min(site.positions) < 2:
        raise MisfitError("halves, which takes at least two positions along each side", at)


def flatten(site: Site) -> Made:
    """A vector of all values."""
    return nn.Flatten(), (prod(site.shape),)


def reshape(site: Site, shape: OpenDims) -> Made:
    """The same values in a shape W*H*C; one size may be -1 for what is left."""
    known = prod(size for size in shape if size != -1)
    total = prod(site.shape)
    if total % known or (-1 not in shape and total != known):
        raise MisfitError(f"cannot bring {total} values into {'*'.join(map(str, reversed(shape)))}", at="shape")
    shape = tuple(total // known if size == -1 else size for size in shape)
    return Reshape(shape), shape


def split(site: Site, size: Count, index: Size, *, dim: int = 1) -> Made:
    """Stretch ``index`` (from 0) of the channels in stretches of ``size``, the last of which may be shorter."""
    dim = site.dimension(dim)
    length = site.shape[dim - 1]
    count = -(-length // size)
    if index >= count:
        raise MisfitError(f"makes {count} of {length} by {size}, so index goes to {count - 1}, not {index}", at="index")
    taken = min(size, length - index * size)
    return Split(index * size, taken, dim), (*site.shape[: dim - 1], taken, *site.shape[dim:])


_PADS: Mapping[str, Mapping[int, Callable[[Any], nn.Module]]] = {
    "zero": {2: nn.ZeroPad1d, 3: nn.ZeroPad2d},
    "reflect": {2: nn.ReflectionPad1d, 3: nn.ReflectionPad2d},
    "replicate": {2: nn.ReplicationPad1d, 3: nn.ReplicationPad2d},
}


def pad(site: Site, *sides: Size, mode: Literal["zero", "reflect", "replicate"] = "zero") -> Made:
    """Borders of so many positions: one number for all sides, or left right top bottom (left right for a signal)."""
    site.require(3, 2)
    count = 2 * len(site.positions)
    if len(sides) not in (1, count):
        raise MisfitError(f"takes 1 or {count} numbers here, not {len(sides)}", at="sides")
    sides = sides * count if len(sides) == 1 else sides
    along = [sides[2 * i : 2 * i + 2] for i in range(len(site.positions))][::-1]
    if mode == "reflect" and any(max(pair) >= size for pair, size in zip(along, site.positions, strict=True)):
        raise MisfitError("reflects fewer positions than there are", at="sides")
    shape = (site.channels, *(size + sum(pair) for size, pair in zip(site.positions, along, strict=True)))
    return _PADS[mode][len(site.shape)](sides), shape


def identity(site: Site) -> Made:
    """What comes in; with a name, so that it can be read again."""
    return nn.Identity(), site.shape


def dropout(site: Site, share: Share = 0.5) -> Made:
    """While training, 0 for a ``share`` of the channels (whole ones), and the rest scaled up."""
    return _DROPOUTS[len(site.shape)](share), site.shape


def convolved(site: Site, stride: int, filter_: int, padding: int, dilation: int = 1) -> Shape:
    """The positions that a filter leaves."""
    positions = tuple((size + 2 * padding - dilation * (filter_ - 1) - 1) // stride + 1 for size in site.positions)
    if min(positions) < 1:
        words = f"filter={filter_} padding={padding}" + (f" dilation={dilation}" if dilation > 1 else "")
        raise MisfitError(f"leaves nothing with {words}", at="filter")
    return positions
