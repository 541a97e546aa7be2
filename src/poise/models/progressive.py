r"""Networks that grow: from 4 x 4 pixels to the data's side, each doubling faded in.

Stage :math:`s` works at :math:`4 \cdot 2^s` pixels a side. All layers are there from the start; those above the stage
are not run and get no gradient. The generator's images have the data's side at every stage, by repetition of pixels,
and the discriminator takes images of the data's side, which it averages down to its stage. So nothing else needs to
know that networks grow: data, optimizers, averages and checkpoints are those of any network. All there is to do is to
call :meth:`~poise.models.Growing.progress` between steps, on each network and on every averaged copy.

While stage s fades in, with a weight :math:`\alpha` from 0 to 1, U repeating and P averaging 2 x 2 pixels:

.. math::
    G(z) &= (1 - \alpha)\, U(\mathrm{rgb}_{s-1}(h)) + \alpha\, \mathrm{rgb}_s(g_s(h)) \\
    D(x) &= d\bigl((1 - \alpha)\, \mathrm{rgb}^{-1}_{s-1}(P x) + \alpha\, d_s(\mathrm{rgb}^{-1}_s(x'))\bigr), \qquad
    x' = (1 - \alpha)\, U(P x) + \alpha\, x

with h the features of stage :math:`s - 1` and d the discriminator's stages below s. Reals are thereby shown as a blend
of two resolutions, as the paper does; as D cannot tell, fakes are blended too.

A gradient by full-size pixels has, at a stage of k times fewer pixels a side, :math:`1 / k` times the norm of that by
the pixels of the stage, which is what gradient penalties measure.

Source: Karras et al. 2017, Progressive Growing of GANs for Improved Quality, Stability, and Variation, arXiv
1710.10196: section 2 and figure 2 (growing), section 3 (minibatch standard deviation), section 4 (equalized learning
rate, pixel norm), table 2 and appendix A.1 (the layers).
"""

from collections.abc import Sequence
from itertools import islice, pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from poise.models.checks import require_positive, square
from poise.models.conditional import require_unconditional
from poise.models.growing import Growing
from poise.models.layers import EqualConv2d, EqualLinear, MinibatchStddev, PixelNorm

__all__ = [
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "progressive_discriminator",
    "progressive_generator",
]

_SIDES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


def _doubled(images: Tensor) -> Tensor:
    return interpolate(images, scale_factor=2)


def _halved(images: Tensor) -> Tensor:
    return avg_pool2d(images, 2)


def _convolution(inputs: int, outputs: int, size: int, padding: int = 0) -> list[nn.Module]:
    """A convolution with He's constant for the rectifier that follows it."""
    return [EqualConv2d(inputs, outputs, size, padding, gain=sqrt(2)), nn.LeakyReLU(0.2)]


def _widths(first: int, side: int, width: int) -> list[int]:
    """The channels at each stage: ``width`` up to a side of 32, then half as many with each doubling."""
    require_positive(width=width)
    stages = (side // first).bit_length()
    return [max(1, min(width, 32 * width // (first << stage))) for stage in range(stages)]


class ProgressiveGenerator(Growing):
    """Latents ``(n, z_dim)`` to images ``(n, channels, side, side)`` that show no more detail than the stage's.

    Built by :func:`progressive_generator`, whose arguments it takes.
    """

    def __init__(
        self,
        z_dim: int,
        shape: Sequence[int],
        width: int,
        first: int,
        grow_kimg: float | Sequence[float],
        fade_kimg: float | None,
    ) -> None:
        channels, side = square("progressive", shape, _SIDES)
        super().__init__(first, side, grow_kimg, fade_kimg)
        widths = _widths(first, side, width)
        # A convolution of a single pixel is a linear layer.
        start = nn.Sequential(
            PixelNorm(),
            EqualLinear(z_dim, (widths[0], first, first), gain=sqrt(2)),
            nn.LeakyReLU(0.2),
            *_convolution(widths[0], widths[0], 3, 1),
            PixelNorm(),
        )
        blocks = [
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                *_convolution(inputs, outputs, 3, 1),
                PixelNorm(),
                *_convolution(outputs, outputs, 3, 1),
                PixelNorm(),
            )
            for inputs, outputs in pairwise(widths)
        ]
        self.blocks = nn.ModuleList([start, *blocks])
        self.to_rgb = nn.ModuleList(EqualConv2d(outputs, channels, 1) for outputs in widths)

    def forward(self, z: Tensor) -> Tensor:
        """Images ``(n, channels, side, side)``, unbounded."""
        features, coarser = z, z
        for block in islice(self.blocks, self.stage + 1):
            coarser, features = features, block(features)
        images = self.to_rgb[self.stage](features)
        if self.alpha < 1:
            images = torch.lerp(_doubled(self.to_rgb[self.stage - 1](coarser)), images, self.alpha)
        return interpolate(images, (self.side, self.side))


class ProgressiveDiscriminator(Growing):
    """Images ``(n, channels, side, side)`` to logits ``(n, outputs)``, by the detail of the stage only.

    Built by :func:`progressive_discriminator`, whose arguments it takes.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        first: int,
        grow_kimg: float | Sequence[float],
        fade_kimg: float | None,
        outputs: int,
    ) -> None:
        channels, side = square("progressive", shape, _SIDES)
        super().__init__(first, side, grow_kimg, fade_kimg)
        require_positive(outputs=outputs)
        widths = _widths(first, side, width)
        end = nn.Sequential(
            MinibatchStddev(),
            *_convolution(widths[0] + 1, widths[0], 3, 1),
            *_convolution(widths[0], widths[0], first),
            EqualLinear(widths[0], (outputs,)),
        )
        blocks = [
            nn.Sequential(*_convolution(inputs, inputs, 3, 1), *_convolution(inputs, wider, 3, 1), nn.AvgPool2d(2))
            for wider, inputs in pairwise(widths)
        ]
        self.blocks = nn.ModuleList([end, *blocks])
        self.from_rgb = nn.ModuleList(nn.Sequential(*_convolution(channels, width, 1)) for width in widths)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, outputs)``."""
        # By halves, so that a stage and the one before it see the very same numbers.
        while images.shape[-1] > self.resolution:
            images = _halved(images)
        stage = self.stage
        if self.alpha < 1:
            coarser = _halved(images)
            images = torch.lerp(_doubled(coarser), images, self.alpha)
            finer: Tensor = self.blocks[stage](self.from_rgb[stage](images))
            stage -= 1
            features = torch.lerp(self.from_rgb[stage](coarser), finer, self.alpha)
        else:
            features = self.from_rgb[stage](images)
        for index in range(stage, -1, -1):
            features = self.blocks[index](features)
        return features


def progressive_generator(
    z_dim: int,
    shape: Sequence[int],
    width: int = 128,
    first: int = 4,
    grow_kimg: float | Sequence[float] = 600.0,
    fade_kimg: float | None = None,
    classes: int = 0,
) -> ProgressiveGenerator:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)``. Each latent is first scaled to the length sqrt(z_dim).

    As in the paper the last layer is linear: samples may leave [-1, 1], and are clipped where they become pictures.

    Args:
        z_dim: the latent dimension; 512 in the paper.
        shape: ``(channels, side, side)``, the side a power of two from 4 to 1024.
        width: channels up to a side of 32; from there on half as many with each doubling. 512 in the paper.
        first: the side at which training begins.
        grow_kimg: the kimg at which each growth begins, one for each doubling from ``first`` to the data's side; or a
            single number, the kimg before the first growth and from each to the next.
        fade_kimg: how long each growth fades in; if none is given, half the shortest time between two growths, or half
            that before an only one. The paper grows at 800, 2400, 4000, ... kimg and fades for 800.
        classes: 0: there is no network of this preset that takes labels.

    Raises:
        ShapeError: when the shape is none that these networks make.
        ConfigError: when a size is below 1, ``first`` no power of two from 4 to the data's side, or the schedule does
            not lead to that side, does not increase, or fades longer than from one growth to the next; or there are
            classes.
    """
    require_unconditional("progressive", classes)
    return ProgressiveGenerator(z_dim, shape, width, first, grow_kimg, fade_kimg)


def progressive_discriminator(
    shape: Sequence[int],
    width: int = 128,
    first: int = 4,
    grow_kimg: float | Sequence[float] = 600.0,
    fade_kimg: float | None = None,
    outputs: int = 1,
    classes: int = 0,
) -> ProgressiveDiscriminator:
    """Images ``(n, *shape)`` to logits ``(n, outputs)``.

    A logit depends on the other samples of the batch, through their standard deviation.

    Args:
        shape: ``(channels, side, side)``, the side a power of two from 4 to 1024.
        width: channels up to a side of 32; from there on half as many with each doubling. 512 in the paper.
        first: the side at which training begins; as the generator's.
        grow_kimg: as the generator's; see :func:`progressive_generator`.
        fade_kimg: as the generator's.
        outputs: logits a sample.
        classes: 0: there is no network of this preset that takes labels.

    Raises:
        ShapeError: when the shape is none that these networks take.
        ConfigError: as :func:`progressive_generator`, or when ``outputs`` is below 1.
    """
    require_unconditional("progressive", classes)
    return ProgressiveDiscriminator(shape, width, first, grow_kimg, fade_kimg, outputs)
