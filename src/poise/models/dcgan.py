"""DCGAN, for square images whose side is a power of two from 8 to 128.

Source: Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional GANs, arXiv 1511.06434, figure
1 and section 3, whose 64 x 64 networks are taken with more or fewer stages. ``norm="none"`` leaves batch norm out,
which gradient penalties want of a discriminator: it would make one sample's logit depend on the others.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from poise.models.checks import require_positive, square
from poise.models.initialize import normal_
from poise.models.norm import Norm, norm2d, require_norm
from poise.models.spectral import spectral_norm_

__all__ = ["dcgan_discriminator", "dcgan_generator"]

_SIDES = (8, 16, 32, 64, 128)


def _stages(shape: Sequence[int], width: int) -> tuple[int, int, list[int]]:
    """Image channels, the side of the smallest stage, and the width of every stage from the largest down to it."""
    channels, side = square("dcgan", shape, _SIDES)
    require_positive(width=width)
    # The paper's smallest stage is 4 x 4; an image of 8 x 8 would have no second stage above it.
    smallest = 4 if side > 8 else 2
    count = (side // smallest).bit_length() - 1
    return channels, smallest, [width << i for i in range(count)]


def _block(convolution: nn.Module, channels: int, norm: Norm, activation: nn.Module) -> list[nn.Module]:
    return [convolution, *norm2d(channels, norm), activation]


def dcgan_generator(z_dim: int, shape: Sequence[int], width: int = 64, norm: Norm = "batch") -> nn.Sequential:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)`` in [-1, 1].

    Args:
        z_dim: the latent dimension.
        shape: ``(channels, side, side)``.
        width: channels of the last hidden stage; each stage before it has twice as many.
        norm: ``batch``, or ``none``.

    Raises:
        ShapeError: when the shape is none that DCGAN makes.
        ConfigError: when the width is below 1, or there is no such ``norm``.
    """
    channels, smallest, widths = _stages(shape, width)
    require_norm(norm)
    widths.reverse()
    bias = norm == "none"
    layers: list[nn.Module] = [
        nn.Unflatten(1, (z_dim, 1, 1)),
        *_block(nn.ConvTranspose2d(z_dim, widths[0], smallest, bias=bias), widths[0], norm, nn.ReLU()),
    ]
    for inputs, outputs in pairwise(widths):
        up = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
        layers += _block(up, outputs, norm, nn.ReLU())
    layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1), nn.Tanh()]
    network = nn.Sequential(*layers)
    normal_(network)
    return network


def dcgan_discriminator(
    shape: Sequence[int], width: int = 64, norm: Norm = "batch", spectral_norm: bool = False, outputs: int = 1
) -> nn.Sequential:
    """Images ``(n, *shape)`` to logits ``(n, outputs)``.

    Args:
        shape: ``(channels, side, side)``.
        width: channels of the first stage; each stage after it has twice as many.
        norm: ``batch`` (on every stage but the first), or ``none``.
        spectral_norm: divide every weight by its largest singular value. Meant for ``norm="none"``: a batch norm
            scales again what was bounded.
        outputs: logits a sample.

    Raises:
        ShapeError: when the shape is none that DCGAN takes.
        ConfigError: when ``width`` or ``outputs`` is below 1, or there is no such ``norm``.
    """
    channels, smallest, widths = _stages(shape, width)
    require_norm(norm)
    require_positive(outputs=outputs)
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for inputs, stage in pairwise(widths):
        down = nn.Conv2d(inputs, stage, 4, stride=2, padding=1, bias=norm == "none")
        layers += _block(down, stage, norm, nn.LeakyReLU(0.2))
    network = nn.Sequential(*layers, nn.Conv2d(widths[-1], outputs, smallest), nn.Flatten())
    normal_(network)
    if spectral_norm:
        spectral_norm_(network)
    return network
