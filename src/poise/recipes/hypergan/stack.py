"""HyperGAN's ``resizable_stack``: as many doublings as it takes to come to the size of the images.

Each stage brings what comes in to a size, adds an ``ez_norm`` to it, and convolves it without padding, which takes a
position off each border; between stages stands a relu. The channels halve from stage to stage, and a
``segment_softmax`` makes those of the images of the last ones. The first doubling has no stage of its own: the first
stage goes to where the second one would.

Source: HyperGAN 1.x, layer ``resizable_stack``.
"""

from collections.abc import Sequence
from typing import Literal

from poise.errors import ShapeError
from poise.models.arguments import Count, bind, parameters, read
from poise.models.grammar import Layer

__all__ = ["DEFAULT_CHANNELS", "DEFAULT_SIDE", "STACK", "stack"]

STACK = "resizable_stack"
"""The layer's name."""

DEFAULT_SIDE, DEFAULT_CHANNELS = 64, 3
"""The size of images that HyperGAN takes where nothing is said."""

_SMALLEST = 3  # positions along a side: with fewer, doubling does not make up for the borders


def stack(layer: Layer, shape: Sequence[int], channels: int, side: int) -> list[str]:
    """The layers that a ``resizable_stack`` stands for, in HyperGAN's language.

    Args:
        layer: how it is written.
        shape: the shape of what comes in, ``(c, h, w)``.
        channels: the channels of the images.
        side: their side.

    Raises:
        ConfigError: when it is not written as it must be.
        ShapeError: when what comes in is no image, or too small a one to grow.
    """
    bound = bind(layer, parameters(_options), lambda parameter, value: read(layer.op, parameter, value, layer))
    if len(shape) != 3 or min(shape[1:]) < _SMALLEST:
        takes = f"{STACK} takes an image (c, h, w) of at least {_SMALLEST} x {_SMALLEST} positions"
        raise layer.source.error(layer.column, f"{takes}; {tuple(shape)} comes in", ShapeError)
    options = {it.keyword: it.default for it in parameters(_options)} | dict(bound.options)
    last = 2 * options["segment_channels"] * channels
    sizes = _sizes((shape[1], shape[2]), side)
    layers = []
    for place, (height, width) in enumerate(sizes):
        layers += [
            f"upsample w={width} h={height}",
            f"add self (ez_norm initializer=(xavier_normal) style={options['style']})",
            f"conv2d {last << (len(sizes) - 1 - place)} padding=0 initializer=(xavier_normal)",
            *(["relu"] if place < len(sizes) - 1 else []),
        ]
    return [*layers, f"segment_softmax {channels}"]


def _options(
    layer: Layer,
    kind: Literal["segment_softmax"] = "segment_softmax",
    *,
    segment_channels: Count = 5,
    max_channels: Count = 256,
    style: str = "w",
) -> None:
    """What may be written, with HyperGAN's defaults. It reads ``max_channels`` and bounds nothing by it."""


def _sizes(size: tuple[int, int], side: int) -> list[tuple[int, int]]:
    """The height and width to which each stage interpolates; the last one leaves ``side`` after its convolution."""
    sizes: list[tuple[int, int]] = []
    border = 0
    while min(size) < side:
        size = (2 * (size[0] - border), 2 * (size[1] - border))
        sizes.append((min(size[0], side + 2), min(size[1], side + 2)))
        border = 2
    return [*sizes[1:-1], (side + 2, side + 2)] if sizes else []
