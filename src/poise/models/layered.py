"""Networks of layer strings, built as presets are: the layers are an option."""

from collections.abc import Sequence

from torch import nn

from poise.models.build import build
from poise.models.conditional import joined, sequence
from poise.models.network import Network
from poise.models.presets import Preset

__all__ = ["LAYERS"]


def _generator(
    z_dim: int, shape: Sequence[int], layers: Sequence[str], initializer: str | None = None, classes: int = 0
) -> nn.Module:
    """The network of a list of layer strings, on latents ``(n, z_dim)``.

    Args:
        z_dim: the latent dimension.
        shape: the shape of a sample, which the last layer must give.
        layers: see :func:`~poise.models.build`.
        initializer: how the weights begin, such as ``orthogonal`` or ``normal 0 0.02``.
        classes: classes of labels that the generator takes beside latents; 0 for none. Latents are joined with a vector
            of their class, and the layers take ``2 z_dim`` values.

    Raises:
        ConfigError: when a layer is not written as it must be, or ``classes`` is below 0.
        ShapeError: when a layer does not take what comes in.
    """
    start, features = joined(z_dim, classes)
    network = build(layers, (features,), initializer=initializer)
    return sequence([*start, network], classes) if classes else network


def _discriminator(
    shape: Sequence[int], layers: Sequence[str], initializer: str | None = None, classes: int = 0
) -> Network:
    """The network of a list of layer strings, on samples ``(n, *shape)``.

    Args:
        shape: the shape of a sample.
        layers: see :func:`~poise.models.build`.
        initializer: how the weights begin, such as ``orthogonal`` or ``normal 0 0.02``.
        classes: classes of labels that the discriminator takes beside samples; 0 for none. Their projection is on what
            comes into the last layer, which must be linear.

    Raises:
        ConfigError: when a layer is not written as it must be, or ``classes`` is below 0.
        ShapeError: when a layer does not take what comes in.
    """
    return build(layers, tuple(shape), initializer=initializer, classes=classes)


LAYERS = Preset(_generator, _discriminator)
"""The pair of builders, with the options ``layers``, ``initializer`` and ``classes``."""
