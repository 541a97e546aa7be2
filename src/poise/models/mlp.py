"""Fully connected networks, for vectors (and small images)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from poise.errors import ConfigError
from poise.models.checks import require_positive
from poise.models.conditional import joined, projected, sequence

__all__ = ["mlp_discriminator", "mlp_generator"]


def _layers(inputs: int, width: int, depth: int, outputs: int, slope: float) -> list[nn.Module]:
    """Linear layers with a leaky ReLU between each two."""
    require_positive(width=width)
    if depth < 0:
        raise ConfigError(f"depth is {depth}; it must be at least 0")
    sizes = [inputs, *[width] * depth, outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(slope)]
    return layers[:-1]


def mlp_generator(
    z_dim: int, shape: Sequence[int], width: int = 128, depth: int = 3, slope: float = 0.2, classes: int = 0
) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to samples ``(n, *shape)``; images end in tanh, vectors are unbounded.

    Args:
        z_dim: the latent dimension.
        shape: the shape of a sample: ``(d,)``, or ``(channels, height, width)`` in [-1, 1].
        width: units of each hidden layer.
        depth: hidden layers.
        slope: of the leaky ReLU.
        classes: classes of labels that the generator takes beside latents; 0 for none.

    Raises:
        ConfigError: when a size is below 1, or ``depth`` or ``classes`` below 0.
    """
    start, features = joined(z_dim, classes)
    layers = [*start, *_layers(features, width, depth, prod(shape), slope)]
    return sequence([*layers, *([nn.Tanh(), nn.Unflatten(1, tuple(shape))] if len(shape) > 1 else [])], classes)


def mlp_discriminator(
    shape: Sequence[int],
    width: int = 128,
    depth: int = 3,
    slope: float = 0.2,
    outputs: int = 1,
    classes: int = 0,
) -> nn.Sequential:
    """Samples ``(n, *shape)`` to logits ``(n, outputs)``.

    Args:
        shape: the shape of a sample.
        width: units of each hidden layer.
        depth: hidden layers.
        slope: of the leaky ReLU.
        outputs: logits a sample.
        classes: classes of labels that the discriminator takes beside samples; 0 for none.

    Raises:
        ConfigError: when a size is below 1, or ``depth`` or ``classes`` below 0.
    """
    require_positive(outputs=outputs)
    *layers, head = _layers(prod(shape), width, depth, outputs, slope)
    features = width if depth else prod(shape)
    return sequence([nn.Flatten(), *layers, projected(head, features, outputs, classes)], classes)
