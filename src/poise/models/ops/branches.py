"""Layers by name, and several at once."""

from typing import Literal

from torch import nn

from poise.models.arguments import Count, Dims
from poise.models.layers import INPUT, Chain, Combine, Constant, LearnedNoise, Noise, Recall, Residual
from poise.models.ops.linear import CONVOLUTIONS
from poise.models.ops.sizes import avg_pool, check_halves, identity, upsample
from poise.models.site import BRANCH, Body, Branch, Built, Made, MisfitError, RefusedError, Shape, Site

__all__ = ["add", "cat", "const", "latent", "layer", "learned_noise", "mul", "noise", "residual"]


def layer(site: Site, source: str, *, upsample: bool = False) -> Made:
    """What the layer of that name gave; with ``upsample=true``, brought to the size that comes in."""
    shape = site.shape_of(source, at="source")
    if not upsample:
        return Recall(source), shape
    site.require(3, 2)
    if len(shape) != len(site.shape):
        raise MisfitError(f"cannot bring {shape} of the layer named '{source}' to its size", at="upsample")
    return Recall(source, site.positions), (shape[0], *site.positions)


def latent(site: Site) -> Made:
    """The network's own input again: a generator's latent."""
    return Recall(INPUT), site.input_shape


def noise(site: Site, shape: Dims | None = None) -> Made:
    """Fresh noise from N(0, 1) in the shape W*H*C, or that of what comes in, which is dropped."""
    shape = shape or site.shape
    return Noise(shape), shape


def learned_noise(site: Site) -> Made:
    """Noise added in a strength that is learned for each channel, from 0 (Karras et al. 2018)."""
    return LearnedNoise(site.channels), site.shape


def const(site: Site, shape: Dims | None = None) -> Made:
    """A learned constant in the shape W*H*C, or that of what comes in, which is dropped (Karras et al. 2018)."""
    shape = shape or site.shape
    return Constant(shape), shape


def add(site: Site, *branches: Branch) -> Made:
    """The sum of ``self`` (what comes in), ``noise``, named layers and layers in parentheses."""
    return _elementwise("add", branches)


def mul(site: Site, *branches: Branch) -> Made:
    """The product of ``self`` (what comes in), ``noise``, named layers and layers in parentheses."""
    return _elementwise("mul", branches)


def cat(site: Site, *branches: Branch) -> Made:
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


def residual(
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
        check_halves(site, at="block")
    resize = {"default": identity, "up": upsample, "down": avg_pool}[block]
    convolution = CONVOLUTIONS[len(site.shape)]
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
