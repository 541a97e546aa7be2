"""DCGAN, for square images whose side is a power of two from 8 to 128.

Source: Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional GANs, arXiv 1511.06434, figure
1 and section 3, whose 64 x 64 networks are taken with more or fewer stages. ``norm="none"`` leaves batch norm out,
which gradient penalties want of a discriminator: it would make one sample's logit depend on the others.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from poise.models.checks import require_positive, square
from poise.models.conditional import Projection, joined, require_classes, sequence
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


def _block(
    convolution: nn.Module, channels: int, norm: Norm, activation: nn.Module, classes: int = 0
) -> list[nn.Module]:
    return [convolution, *norm2d(channels, norm, classes), activation]


def dcgan_generator(
    z_dim: int, shape: Sequence[int], width: int = 64, norm: Norm = "batch", classes: int = 0
) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)`` in [-1, 1].

    Args:
        z_dim: the latent dimension.
        shape: ``(channels, side, side)``.
        width: channels of the last hidden stage; each stage before it has twice as many.
        norm: ``batch``, or ``none``.
        classes: classes of labels that the generator takes beside latents; 0 for none. Latents are joined with a vector
            of their class, and each class has its own gains and biases of batch norms.

    Raises:
        ShapeError: when the shape is none that DCGAN makes.
        ConfigError: when the width is below 1, ``classes`` below 0, or there is no such ``norm``.
    """
    channels, smallest, widths = _stages(shape, width)
    require_norm(norm)
    widths.reverse()
    bias = norm == "none"
    start, features = joined(z_dim, classes)
    layers: list[nn.Module] = [
        *start,
        nn.Unflatten(1, (features, 1, 1)),
        *_block(nn.ConvTranspose2d(features, widths[0], smallest, bias=bias), widths[0], norm, nn.ReLU(), classes),
    ]
    for inputs, outputs in pairwise(widths):
        up = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
        layers += _block(up, outputs, norm, nn.ReLU(), classes)
    layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1), nn.Tanh()]
    network = sequence(layers, classes)
    normal_(network)
    return network


def dcgan_discriminator(
    shape: Sequence[int],
    width: int = 64,
    norm: Norm = "batch",
    spectral_norm: bool = False,
    outputs: int = 1,
    classes: int = 0,
) -> nn.Sequential:
    """Images ``(n, *shape)`` to logits ``(n, outputs)``.

    Args:
        shape: ``(channels, side, side)``.
        width: channels of the first stage; each stage after it has twice as many.
        norm: ``batch`` (on every stage but the first), or ``none``.
        spectral_norm: divide every weight by its largest singular value. Meant for ``norm="none"``: a batch norm
            scales again what was bounded.
        outputs: logits a sample.
        classes: classes of labels that the discriminator takes beside samples; 0 for none. Their projection is on the
            features of the last stage.

    Raises:
        ShapeError: when the shape is none that DCGAN takes.
        ConfigError: when ``width`` or ``outputs`` is below 1, ``classes`` below 0, or there is no such ``norm``.
    """
    channels, smallest, widths = _stages(shape, width)
    require_norm(norm)
    require_positive(outputs=outputs)
    require_classes(classes)
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for inputs, stage in pairwise(widths):
        down = nn.Conv2d(inputs, stage, 4, stride=2, padding=1, bias=norm == "none")
        layers += _block(down, stage, norm, nn.LeakyReLU(0.2))
    head = [nn.Conv2d(widths[-1], outputs, smallest), nn.Flatten()]
    if classes:
        projection = Projection(nn.Sequential(*head), widths[-1] * smallest**2, outputs, classes)
        nn.init.normal_(projection.vectors.weight, 0.0, 0.02)
        head = [projection]
    network = sequence([*layers, *head], classes)
    normal_(network)
    if spectral_norm:
        spectral_norm_(network)
    return network
