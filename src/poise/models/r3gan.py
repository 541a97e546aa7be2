r"""R3GAN's residual networks without normalization, for square images whose side is a power of two from 8 to 256.

Generator and discriminator mirror each other. Each has a stage for every side from 4 x 4 up to the image's. A stage is
a transition, which resamples bilinearly and, where the number of channels changes, has a 1 x 1 convolution; and
residual blocks

.. math:: x + W_3\, a(W_2 * a(W_1 x + b_1) + b_2)

of 1 x 1, grouped 3 x 3 and 1 x 1 convolutions, twice as wide inside, with leaky ReLUs a. At 4 x 4 the generator has
learned maps, each multiplied by a linear function of z; the discriminator has one filter for each map, and a linear
layer.

Weights begin with the variance that keeps that of what passes; in the L blocks of a network by the fix-up rule: those
of :math:`W_3` at 0, so that each block begins as the identity, and those of :math:`W_1` and :math:`W_2` times
:math:`L^{-1/4}`.

Source: Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv 2501.05441, section 4 (its
configuration E) and its appendix on hyperparameters; fix-up: Zhang et al. 2019, Fixup Initialization, arXiv 1901.09321,
section 3, with m = 3 layers a block.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import gcd, sqrt
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from poise.errors import ConfigError, nearest
from poise.models.checks import require_positive, square
from poise.models.conditional import joined, projected, sequence

__all__ = ["r3gan_discriminator", "r3gan_generator"]

_SIDES = (8, 16, 32, 64, 128, 256)

_SMALLEST = 4

_SLOPE = 0.2
_GAIN = sqrt(2 / (1 + _SLOPE**2))  # what a leaky ReLU takes away

_EXPANSION = 2  # channels inside a block for each outside

Size = Literal["nano", "tiny", "small", "base", "large"]


class _Plan(NamedTuple):
    """What a size stands for.

    Attributes:
        width: the channels of the widest stages.
        full_side: the largest side of such stages; above, each doubling of the side halves the channels.
        blocks: residual blocks a stage.
        group_width: channels of a group.
    """

    width: int
    full_side: int
    blocks: int
    group_width: int


_SIZES: Mapping[str, _Plan] = MappingProxyType(
    {
        "nano": _Plan(64, 4, 1, 16),
        "tiny": _Plan(128, 8, 1, 16),
        "small": _Plan(256, 8, 2, 16),
        # The paper's: for CIFAR-10 and FFHQ, and for ImageNet.
        "base": _Plan(768, 32, 2, 16),
        "large": _Plan(1536, 32, 2, 16),
    }
)


class _Stages(NamedTuple):
    """A network's stages, from the smallest side to the image's.

    Attributes:
        channels: of the images.
        widths: the channels of each stage.
        blocks: residual blocks a stage.
        group_width: channels of a group, or None for what divides them and is at most the size's.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: int
    group_width: int

    def residual(self, width: int) -> "list[nn.Module]":
        """The blocks of a stage."""
        count = self.blocks * len(self.widths)
        return [_Block(width, self.group_width, count) for _ in range(self.blocks)]


def _stages(
    shape: Sequence[int], size: Size, width: int | None, blocks: int | None, group_width: int | None
) -> _Stages:
    """The stages of a size, with what is given instead of its own."""
    channels, side = square("r3gan", shape, _SIDES)
    if size not in get_args(Size):
        raise ConfigError(f"size: there is no size {size!r} {nearest(str(size), get_args(Size))}")
    plan = _SIZES[size]
    given = {"width": width, "blocks": blocks, "group_width": group_width}
    require_positive(**{name: value for name, value in given.items() if value is not None})
    widest = plan.width if width is None else width
    sides = [_SMALLEST << stage for stage in range((side // _SMALLEST).bit_length())]
    widths = tuple(max(1, min(widest, widest * plan.full_side // side)) for side in sides)
    for stage, inside in ((stage, _EXPANSION * stage) for stage in widths):
        if group_width is not None and inside % group_width:
            raise ConfigError(
                f"group_width is {group_width}; it must divide the {inside} channels inside the blocks of a stage of "
                f"{stage}: give another, or another width"
            )
    return _Stages(channels, widths, blocks or plan.blocks, group_width or plan.group_width)


class _Pointwise(nn.Conv2d):
    """A 1 x 1 convolution, computed as a product of matrices.

    Second derivatives, as gradient penalties take them, then are products too; those of convolutions cost several times
    as much.
    """

    def forward(self, x: Tensor) -> Tensor:
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def _convolution(
    inputs: int, outputs: int, size: int = 1, gain: float = 1.0, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """A convolution whose outputs have the variance of its inputs, times the gain squared; its bias begins at 0."""
    kind = _Pointwise if size == 1 else nn.Conv2d
    layer = kind(inputs, outputs, size, padding=size // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, 0.0, gain / (size * sqrt(inputs // groups)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias)
    nn.init.normal_(layer.weight, 0.0, 1 / sqrt(inputs))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Module):
    """A residual block, which begins as the identity.

    Args:
        width: channels.
        group_width: channels of a group inside, at most: where it does not divide them, their greatest common divisor.
        count: blocks in the network.
    """

    def __init__(self, width: int, group_width: int, count: int) -> None:
        super().__init__()
        inside = _EXPANSION * width
        groups = inside // gcd(inside, group_width)
        gain = _GAIN * count**-0.25
        last = _convolution(inside, width)
        nn.init.zeros_(last.weight)
        self.residual = nn.Sequential(
            _convolution(width, inside, gain=gain, bias=True),
            nn.LeakyReLU(_SLOPE),
            _convolution(inside, inside, 3, gain, groups, bias=True),
            nn.LeakyReLU(_SLOPE),
            last,
        )

    def forward(self, features: Tensor) -> Tensor:
        summed: Tensor = features + self.residual(features)
        return summed


class _Resample(nn.Module):
    """Twice the side, or half of it, bilinearly: along each axis, a product with the same matrix.

    So it costs little in every precision and memory format, and has all derivatives, none of which depends on chance.

    Args:
        matrix: ``(side out, side in)``.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        n, c, h, w = features.shape
        # As it lies in memory where channels come last, so that the products copy nothing.
        rows = self.matrix @ features.permute(0, 2, 3, 1).reshape(n, h, w * c)
        pixels = self.matrix @ rows.reshape(-1, w, c)
        side = len(self.matrix)
        return pixels.reshape(n, side, side, c).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """The sides, for the repr."""
        after, before = self.matrix.shape
        return f"{before} -> {after}"


def _doubling(side: int) -> Tensor:
    """The matrix of bilinear interpolation to twice the side: 3/4 of the nearest pixel and 1/4 of the one beyond."""
    matrix = torch.zeros(2 * side, side)
    for row in range(2 * side):
        nearest_, beyond = row // 2, min(max(row // 2 + (1 if row % 2 else -1), 0), side - 1)
        matrix[row, nearest_] += 0.75
        matrix[row, beyond] += 0.25
    return matrix


def _up(side: int) -> _Resample:
    return _Resample(_doubling(side))


def _down(side: int) -> _Resample:
    """The transpose of :func:`_up`, scaled to keep a constant: the filter [1, 3, 3, 1] / 8."""
    return _Resample(_doubling(side // 2).T / 2)


class _Basis(nn.Module):
    """Learned maps, each multiplied by a linear function of the latent: ``(n, z_dim)`` to ``(n, width, 4, 4)``.

    Args:
        z_dim: the latent dimension.
        width: maps.
    """

    def __init__(self, z_dim: int, width: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(width, _SMALLEST, _SMALLEST))
        self.modulation = _linear(z_dim, width)

    def forward(self, z: Tensor) -> Tensor:
        factors: Tensor = self.modulation(z)
        return self.maps * factors[:, :, None, None]


def r3gan_generator(
    z_dim: int,
    shape: Sequence[int],
    size: Size = "nano",
    width: int | None = None,
    blocks: int | None = None,
    group_width: int | None = None,
    classes: int = 0,
) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)``.

    As in the paper the last layer is linear: samples may leave [-1, 1], and are clipped where they become pictures.

    ======= ===== ================= ======
    size    width up to a side of   blocks
    ======= ===== ================= ======
    nano    64    4                 1
    tiny    128   8                 1
    small   256   8                 2
    base    768   32                2
    large   1536  32                2
    ======= ===== ================= ======

    Above that side the channels are halved with each doubling. Groups have 16 channels. ``nano`` trains on two cores of
    a CPU, a step about as long as one of ``dcgan``'s; ``base`` is the paper's for CIFAR-10, FFHQ-64 and FFHQ-256, and
    ``large`` that for ImageNet-32 and ImageNet-64.

    Args:
        z_dim: the latent dimension; 64 in the paper.
        shape: ``(channels, side, side)``.
        size: nano, tiny, small, base or large.
        width: channels of the widest stages, instead of the size's.
        blocks: residual blocks a stage, instead of the size's.
        group_width: channels of each group of the 3 x 3 convolutions. It must divide those of all; where none is
            given, groups have their greatest common divisor with 16.

        classes: classes of labels that the generator takes beside latents; 0 for none. Latents are joined with a vector
            of their class.

    Raises:
        ShapeError: when the shape is none that these networks make.
        ConfigError: when there is no such ``size``, another is below 1, ``classes`` below 0, or groups do not fit.
    """
    stages = _stages(shape, size, width, blocks, group_width)
    widths = stages.widths
    start, features = joined(z_dim, classes)
    layers: list[nn.Module] = [*start, _Basis(features, widths[0]), *stages.residual(widths[0])]
    for stage, (before, after) in enumerate(pairwise(widths)):
        # A 1 x 1 convolution and resampling commute: each is where there are fewer pixels.
        layers += [_convolution(before, after)] if before != after else []
        layers += [_up(_SMALLEST << stage), *stages.residual(after)]
    return sequence([*layers, _convolution(widths[-1], stages.channels, bias=True)], classes)


def r3gan_discriminator(
    shape: Sequence[int],
    size: Size = "nano",
    width: int | None = None,
    blocks: int | None = None,
    group_width: int | None = None,
    outputs: int = 1,
    classes: int = 0,
) -> nn.Sequential:
    """Images ``(n, *shape)`` to logits ``(n, outputs)``.

    Args:
        shape: ``(channels, side, side)``.
        size: as the generator's; see :func:`r3gan_generator`.
        width: as the generator's.
        blocks: as the generator's.
        group_width: as the generator's.
        outputs: logits a sample.
        classes: classes of labels that the discriminator takes beside samples; 0 for none. Their projection is on what
            comes into the last, linear layer.

    Raises:
        ShapeError: when the shape is none that these networks take.
        ConfigError: as :func:`r3gan_generator`, or when ``outputs`` is below 1.
    """
    stages = _stages(shape, size, width, blocks, group_width)
    require_positive(outputs=outputs)
    widths = stages.widths[::-1]
    layers: list[nn.Module] = [_convolution(stages.channels, widths[0], bias=True), *stages.residual(widths[0])]
    for stage, (before, after) in enumerate(pairwise(widths)):
        layers.append(_down(shape[1] >> stage))
        layers += [_convolution(before, after)] if before != after else []
        layers += stages.residual(after)
    last = nn.Conv2d(widths[-1], widths[-1], _SMALLEST, groups=widths[-1], bias=False)
    nn.init.normal_(last.weight, 0.0, 1 / _SMALLEST)
    head = projected(_linear(widths[-1], outputs, bias=True), widths[-1], outputs, classes)
    return sequence([*layers, last, nn.Flatten(), head], classes)
