"""The ops of layer strings: what may be written, and the module that each makes.

An op is a function ``(site, ...) -> (module, shape)``. ``site`` is where it stands: what comes in, and what was named
before. The rest of its signature says which arguments and options can be written (see :mod:`poise.models.arguments`);
``shape`` is that of a sample that goes out. It makes a new module at every call. What it cannot do it refuses with a
``ShapeError`` or a ``ConfigError``, such as those of :mod:`poise.models.site`. The message continues the op's name, as
in "takes an image (c, h, w)"; the place in the text, and for shapes what comes in, are put to it.

Ops with a filter have the defaults of HyperGAN: ``filter=3 padding=1``, the padding whatever the filter; and for
``deconv`` ``filter=4 stride=2 padding=1``. Where channels may be written and are not, as many go out as come in.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from math import prod
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from poise.models.activations import ACTIVATIONS
from poise.models.arguments import Count, Dims, OpenDims, Positive, Share, Size
from poise.models.layers import (
    INPUT,
    AdaptiveInstanceNorm,
    Blur,
    Chain,
    ChannelAttention,
    Combine,
    Constant,
    EfficientAttention,
    EqualLinear,
    EzNorm,
    LearnedNoise,
    Linear,
    MinibatchStddev,
    ModulatedConv2d,
    MultiHeadAttention,
    Noise,
    PixelNorm,
    Recall,
    Reshape,
    Residual,
    SegmentSoftmax,
    SelfAttention,
    Split,
    Styled,
)
from poise.models.site import BRANCH, Body, Branch, Built, Made, MisfitError, Op, RefusedError, Shape, Site

__all__ = ["OPS"]

_CONVOLUTIONS = {2: nn.Conv1d, 3: nn.Conv2d}
_TRANSPOSED = {2: nn.ConvTranspose1d, 3: nn.ConvTranspose2d}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}
_INSTANCE_NORMS = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d}
_DROPOUTS = {1: nn.Dropout, 2: nn.Dropout1d, 3: nn.Dropout2d}
_AVERAGES = {2: nn.AvgPool1d, 3: nn.AvgPool2d}
_ADAPTIVE_AVERAGES = {2: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool2d}


# Linear layers.


def _linear(site: Site, features: Dims, *, bias: bool = True) -> Made:
    """A linear layer; what comes in is flattened, and ``linear 4*4*512`` gives (512, 4, 4)."""
    return Linear(prod(site.shape), features, bias), features


def _equal_linear(
    site: Site, features: Dims, *, bias: bool = True, lr_mul: Positive = 1.0, gain: Positive = 1.0
) -> Made:
    """A linear layer at an equalized learning rate, times ``lr_mul`` (Karras et al. 2017)."""
    return EqualLinear(prod(site.shape), features, bias, lr_mul, gain), features


# Convolutions.


def _conv(
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
    shape = (channels, *_convolved(site, stride, filter_, padding, dilation))
    convolution = _CONVOLUTIONS[len(site.shape)]
    return convolution(site.channels, channels, filter_, stride, padding, dilation, groups, bias), shape


def _deconv(
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


def _resize_conv(
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
    upsample, shape = _upsample(site, w=w, h=h, mode=mode)
    conv, shape = _conv(
        site._replace(shape=shape),
        channels,
        filter_=filter_,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    return nn.Sequential(OrderedDict(upsample=upsample, conv=conv)), shape


def _subpixel(
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
    conv, shape = _conv(
        site,
        4 * (channels or site.channels),
        filter_=filter_,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    shuffle, shape = _pixel_shuffle(site._replace(shape=shape))
    return nn.Sequential(OrderedDict(conv=conv, shuffle=shuffle)), shape


def _modulated_conv2d(
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
        _check_halves(site, at="resample")
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


def _convolved(site: Site, stride: int, filter_: int, padding: int, dilation: int = 1) -> Shape:
    """The positions that a filter leaves."""
    positions = tuple((size + 2 * padding - dilation * (filter_ - 1) - 1) // stride + 1 for size in site.positions)
    if min(positions) < 1:
        words = f"filter={filter_} padding={padding}" + (f" dilation={dilation}" if dilation > 1 else "")
        raise MisfitError(f"leaves nothing with {words}", at="filter")
    return positions


# Sizes and shapes.


def _upsample(
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


def _pixel_shuffle(site: Site, factor: Count = 2) -> Made:
    """Each ``factor`` * ``factor`` channels become as many positions (Shi et al. 2016)."""
    site.require(3)
    channels, height, width = site.shape
    if channels % factor**2:
        raise MisfitError(f"needs a multiple of {factor**2} channels", at="factor")
    return nn.PixelShuffle(factor), (channels // factor**2, factor * height, factor * width)


def _blur(site: Site) -> Made:
    """The filter [1, 2, 1] / 4 along each side, with reflected borders; the size stays."""
    site.require(3, 2)
    if min(site.positions) < 2:
        raise MisfitError("reflects the borders, which takes at least two positions along each side")
    return Blur(len(site.positions)), site.shape


def _avg_pool(site: Site, *, filter_: Count = 2, stride: Count | None = None, padding: Size = 0) -> Made:
    """Means of ``filter`` by ``filter`` positions, 2 by 2 unless told otherwise, which halves."""
    site.require(3, 2)
    if 2 * padding > filter_:
        raise MisfitError(f"takes a padding of at most half its filter={filter_}, not {padding}", at="padding")
    shape = (site.channels, *_convolved(site, stride or filter_, filter_, padding))
    return _AVERAGES[len(site.shape)](filter_, stride, padding), shape


def _adaptive_avg_pool(site: Site, size: Dims | None = None) -> Made:
    """Means over as many areas as ``size`` W*H (or one number for each side) has; without it, half the size."""
    site.require(3, 2)
    if size is None:
        _check_halves(site)
        size = tuple(side // 2 for side in site.positions)
    elif len(size) == 1:
        size *= len(site.positions)
    if len(size) != len(site.positions):
        raise MisfitError("takes a size for each side of the positions", at="size")
    return _ADAPTIVE_AVERAGES[len(site.shape)](size), (site.channels, *size)


def _check_halves(site: Site, at: str | None = None) -> None:
    if min(site.positions) < 2:
        raise MisfitError("halves, which takes at least two positions along each side", at)


def _flatten(site: Site) -> Made:
    """A vector of all values."""
    return nn.Flatten(), (prod(site.shape),)


def _reshape(site: Site, shape: OpenDims) -> Made:
    """The same values in a shape W*H*C; one size may be -1 for what is left."""
    known = prod(size for size in shape if size != -1)
    total = prod(site.shape)
    if total % known or (-1 not in shape and total != known):
        raise MisfitError(f"cannot bring {total} values into {'*'.join(map(str, reversed(shape)))}", at="shape")
    shape = tuple(total // known if size == -1 else size for size in shape)
    return Reshape(shape), shape


def _split(site: Site, size: Count, index: Size, *, dim: int = 1) -> Made:
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


def _pad(site: Site, *sides: Size, mode: Literal["zero", "reflect", "replicate"] = "zero") -> Made:
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


def _identity(site: Site) -> Made:
    """What comes in; with a name, so that it can be read again."""
    return nn.Identity(), site.shape


def _dropout(site: Site, share: Share = 0.5) -> Made:
    """While training, 0 for a ``share`` of the channels (whole ones), and the rest scaled up."""
    return _DROPOUTS[len(site.shape)](share), site.shape


# Normalizations.


def _batch_norm(site: Site, *, affine: bool = True, momentum: Share = 0.1, eps: Positive = 1e-5) -> Made:
    """Batch normalization of each channel."""
    return _BATCH_NORMS[len(site.shape)](site.channels, eps, momentum, affine), site.shape


def _instance_norm(site: Site, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each channel of each sample normalized over its positions."""
    site.require(3, 2)
    if prod(site.positions) < 2:
        raise MisfitError("takes at least two positions: of one, nothing but the mean is left")
    return _INSTANCE_NORMS[len(site.shape)](site.channels, eps, affine=affine), site.shape


def _layer_norm(site: Site, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each sample normalized over all its values."""
    if prod(site.shape) < 2:
        raise MisfitError("takes at least two values: of one, nothing but the mean is left")
    return nn.LayerNorm(site.shape, eps, affine), site.shape


def _group_norm(site: Site, groups: Count = 32, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each of so many groups of channels of each sample normalized over its values."""
    if site.channels % groups:
        raise MisfitError(f"needs groups that divide the {site.channels} channels, not {groups}", at="groups")
    if prod(site.shape) < 2 * groups:
        raise MisfitError("takes at least two values a group: of one, nothing but the mean is left", at="groups")
    return nn.GroupNorm(groups, site.channels, eps, affine), site.shape


def _pixel_norm(site: Site) -> Made:
    """The channels at each position divided by their root mean square (Karras et al. 2017)."""
    return PixelNorm(), site.shape


def _adaptive_instance_norm(site: Site, *, style: str = "w") -> Made:
    """Instance normalization with a scale and a shift from the layer named by ``style`` (Huang and Belongie 2017)."""
    site.require(3, 2)
    features = prod(site.shape_of(style, at="style"))
    return Styled(AdaptiveInstanceNorm(site.channels, features), style), site.shape


def _ez_norm(site: Site, *, style: str = "w") -> Made:
    """A linear map of the layer named by ``style``, times a 1 x 1 convolution to one channel (HyperGAN)."""
    site.require(3, 2)
    features = prod(site.shape_of(style, at="style"))
    return Styled(EzNorm(site.channels, features), style), site.shape


def _minibatch_stddev(site: Site, *, group: Count | None = None) -> Made:
    """One more channel: how much the samples of the batch, or of each ``group``, differ (Karras et al. 2017)."""
    return MinibatchStddev(group), (site.channels + 1, *site.positions)


# Layers by name, and several at once.


def _layer(site: Site, source: str, *, upsample: bool = False) -> Made:
    """What the layer of that name gave; with ``upsample=true``, brought to the size that comes in."""
    shape = site.shape_of(source, at="source")
    if not upsample:
        return Recall(source), shape
    site.require(3, 2)
    if len(shape) != len(site.shape):
        raise MisfitError(f"cannot bring {shape} of the layer named '{source}' to its size", at="upsample")
    return Recall(source, site.positions), (shape[0], *site.positions)


def _latent(site: Site) -> Made:
    """The network's own input again: a generator's latent."""
    return Recall(INPUT), site.input_shape


def _noise(site: Site, shape: Dims | None = None) -> Made:
    """Fresh noise from N(0, 1) in the shape W*H*C, or that of what comes in, which is dropped."""
    shape = shape or site.shape
    return Noise(shape), shape


def _learned_noise(site: Site) -> Made:
    """Noise added in a strength that is learned for each channel, from 0 (Karras et al. 2018)."""
    return LearnedNoise(site.channels), site.shape


def _const(site: Site, shape: Dims | None = None) -> Made:
    """A learned constant in the shape W*H*C, or that of what comes in, which is dropped (Karras et al. 2018)."""
    shape = shape or site.shape
    return Constant(shape), shape


def _add(site: Site, *branches: Branch) -> Made:
    """The sum of ``self`` (what comes in), ``noise``, named layers and layers in parentheses."""
    return _elementwise("add", branches)


def _mul(site: Site, *branches: Branch) -> Made:
    """The product of ``self`` (what comes in), ``noise``, named layers and layers in parentheses."""
    return _elementwise("mul", branches)


def _cat(site: Site, *branches: Branch) -> Made:
    """The channels of ``self`` (what comes in), ``noise``, named layers and layers in parentheses, all together."""
    shapes = _shapes(branches)
    if len({shape[1:] for shape in shapes}) > 1:
        raise MisfitError(f"needs layers whose positions are equal, not {_list(shapes)}")
    channels = sum(shape[0] for shape in shapes)
    return Combine("cat", _children(branches)), (channels, *shapes[0][1:])


def _elementwise(how: str, branches: tuple[Built, ...]) -> Made:
    shapes = _shapes(branches)
    shape = tuple(max(sizes) for sizes in zip(*shapes, strict=False))
    if not all(len(it) == len(shapes[0]) and all(map(_fits, it, shape)) for it in shapes):
        raise MisfitError(f"needs layers whose shapes are equal, or 1 where they differ, not {_list(shapes)}")
    return Combine(how, _children(branches)), shape


def _fits(size: int, most: int) -> bool:
    return size in (1, most)


def _shapes(branches: tuple[Built, ...]) -> list[Shape]:
    if not branches:
        raise RefusedError(f"takes one or more of {BRANCH.says}")
    return [branch.shape for branch in branches]


def _list(shapes: list[Shape]) -> str:
    return " and ".join(map(str, shapes))


def _children(layers: tuple[Built, ...]) -> dict[str, nn.Module]:
    """Layers by their keys: the name of a named one, the place of any other."""
    return {layer.name or str(place): layer.module for place, layer in enumerate(layers)}


def _residual(
    site: Site,
    *body: Body,
    block: Literal["default", "up", "down"] = "default",
    output_channels: Count | None = None,
) -> Made:
    """So many residual blocks (3), of which the first resizes; or a shortcut around the layers in parentheses."""
    counts = [it for it in body if isinstance(it, int)]
    layers = tuple(it for it in body if isinstance(it, Built))
    if len(counts) > 1 or (counts and layers):
        raise RefusedError("takes either one number of blocks or layers in parentheses", at="body")
    if not layers:
        return _residual_blocks(site, counts[0] if counts else 3, block, output_channels or site.channels)
    if block != "default" or output_channels is not None:
        raise RefusedError("takes block= and output_channels= for a number of blocks, not for layers in parentheses")
    if layers[-1].shape != site.shape:
        raise MisfitError(
            f"needs layers that give back the shape that they are given, and these give {layers[-1].shape}"
        )
    return Residual(Chain(_children(layers))), site.shape


def _residual_blocks(site: Site, count: int, block: Literal["default", "up", "down"], channels: int) -> Made:
    site.require(3, 2)
    blocks: dict[str, nn.Module] = {}
    for place in range(count):
        blocks[str(place)], shape = _residual_block(site, block if place == 0 else "default", channels)
        site = site._replace(shape=shape)
    return Chain(blocks), site.shape


def _residual_block(site: Site, block: Literal["default", "up", "down"], channels: int) -> Made:
    """relu, conv, relu, conv; the shortcut is a 1 x 1 convolution where the channels change."""
    if block == "down":
        _check_halves(site, at="block")
    resize = {"default": _identity, "up": _upsample, "down": _avg_pool}[block]
    convolution = _CONVOLUTIONS[len(site.shape)]
    branch: list[nn.Module] = [
        nn.ReLU(),
        convolution(site.channels, channels, 3, padding=1),
        nn.ReLU(),
        convolution(channels, channels, 3, padding=1),
    ]
    shortcut: list[nn.Module] = [] if channels == site.channels else [convolution(site.channels, channels, 1)]
    if block != "default":
        branch.insert(1 if block == "up" else len(branch), resize(site)[0])
        shortcut.insert(0, resize(site)[0])
    return Residual(nn.Sequential(*branch), nn.Sequential(*shortcut)), (channels, *resize(site)[1][1:])


# Attention.


def _attention(site: Site) -> Made:
    """What comes in plus, in a learned strength from 0, SAGAN's attention over positions (Zhang et al. 2018)."""
    site.require(3, 2)
    return SelfAttention(site.channels), site.shape


def _channel_attention(site: Site, channels: Count | None = None, *, reduction: Count = 16) -> Made:
    """Squeeze and excitation (Hu et al. 2017); where ``channels`` is given, a 1 x 1 convolution to so many."""
    site.require(3, 2)
    attention = ChannelAttention(site.channels, reduction)
    if channels is None:
        return attention, site.shape
    conv = _CONVOLUTIONS[len(site.shape)](site.channels, channels, 1)
    return nn.Sequential(OrderedDict(attention=attention, conv=conv)), (channels, *site.positions)


def _efficient_attention(
    site: Site,
    channels: Count | None = None,
    *,
    heads: Count = 4,
    key_channels: Count = 16,
    value_channels: Count = 16,
) -> Made:
    """Attention over positions at a linear cost, without a shortcut (Shen et al. 2018)."""
    site.require(3, 2)
    if key_channels % heads or value_channels % heads:
        raise RefusedError(
            f"needs heads that divide {key_channels} key and {value_channels} value channels", at="heads"
        )
    channels = channels or site.channels
    module = EfficientAttention(site.channels, channels, heads, key_channels, value_channels)
    return module, (channels, *site.positions)


def _multi_head_attention(site: Site, channels: Count | None = None, *, heads: Count = 4) -> Made:
    """Attention over positions with several heads (Vaswani et al. 2017); of a vector, two linear maps.

    A vector is one position, and the softmax of one number is 1: whatever queries and keys are, the maps of values and
    of what is found remain, and they alone are made.
    """
    if site.channels % heads:
        raise MisfitError(f"needs heads that divide the {site.channels} channels, not {heads}", at="heads")
    channels = channels or site.channels
    shape = (channels, *site.positions)
    if site.positions:
        return MultiHeadAttention(site.channels, channels, heads), shape
    value, out = nn.Linear(site.channels, site.channels), nn.Linear(site.channels, channels)
    return nn.Sequential(OrderedDict(value=value, out=out)), shape


def _segment_softmax(site: Site, channels: Count) -> Made:
    """Each of so many channels a mixture of K, by the softmax of K others (HyperGAN)."""
    if site.channels % (2 * channels):
        raise MisfitError(f"needs a multiple of {2 * channels} channels", at="channels")
    return SegmentSoftmax(channels), (channels, *site.positions)


def _only(op: Op, *ranks: int) -> Op:
    """The op, where one of these ranks comes in."""

    @wraps(op)
    def only(site: Site, *arguments: Any, **options: Any) -> Made:
        site.require(*ranks)
        return op(site, *arguments, **options)

    return only


OPS: Mapping[str, Op] = MappingProxyType(
    {
        # Linear layers and convolutions.
        "linear": _linear,
        "equal_linear": _equal_linear,
        "conv": _conv,
        "conv1d": _only(_conv, 2),
        "conv2d": _only(_conv, 3),
        "deconv": _deconv,
        "resize_conv": _resize_conv,
        "resize_conv1d": _only(_resize_conv, 2),
        "resize_conv2d": _only(_resize_conv, 3),
        "subpixel": _subpixel,
        "modulated_conv2d": _modulated_conv2d,
        # Sizes and shapes.
        "upsample": _upsample,
        "pixel_shuffle": _pixel_shuffle,
        "blur": _blur,
        "avg_pool": _avg_pool,
        "adaptive_avg_pool": _adaptive_avg_pool,
        "adaptive_avg_pool1d": _only(_adaptive_avg_pool, 2),
        "flatten": _flatten,
        "reshape": _reshape,
        "split": _split,
        "pad": _pad,
        "identity": _identity,
        "dropout": _dropout,
        # Normalizations.
        "batch_norm": _batch_norm,
        "batch_norm1d": _only(_batch_norm, 1, 2),
        "instance_norm": _instance_norm,
        "instance_norm1d": _only(_instance_norm, 2),
        "layer_norm": _layer_norm,
        "group_norm": _group_norm,
        "pixel_norm": _pixel_norm,
        "adaptive_instance_norm": _adaptive_instance_norm,
        "ez_norm": _ez_norm,
        "minibatch_stddev": _minibatch_stddev,
        # Layers by name, and several at once.
        "layer": _layer,
        "latent": _latent,
        "noise": _noise,
        "learned_noise": _learned_noise,
        "const": _const,
        "add": _add,
        "mul": _mul,
        "cat": _cat,
        "residual": _residual,
        # Attention.
        "attention": _attention,
        "channel_attention": _channel_attention,
        "efficient_attention": _efficient_attention,
        "multi_head_attention": _multi_head_attention,
        "segment_softmax": _segment_softmax,
        # Activations.
        **ACTIVATIONS,
        "softmax2d": _only(ACTIVATIONS["softmax2d"], 3),
    }
)
"""Every op by its name; the first line of its docstring says what it does."""
