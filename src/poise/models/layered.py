"""Networks of layer strings, built as presets are: the layers are an option."""

from collections.abc import Sequence

from poise.models.build import build
from poise.models.network import Network
from poise.models.presets import Preset

__all__ = ["LAYERS"]


def _generator(z_dim: int, shape: Sequence[int], layers: Sequence[str], initializer: str | None = None) -> Network:
    """The network of a list of layer strings, on latents ``(n, z_dim)``.

    Args:
        z_dim: the latent dimension.
        shape: the shape of a sample, which the last layer must give.
        layers: see :func:`~poise.models.build`.
        initializer: how the weights begin, such as ``orthogonal`` or ``normal 0 0.02``.

    Raises:
        ConfigError: when a layer is not written as it must be.
        ShapeError: when a layer does not take what comes in.
    """
    return build(layers, (z_dim,), initializer=initializer)


def _discriminator(shape: Sequence[int], layers: Sequence[str], initializer: str | None = None) -> Network:
    """The network of a list of layer strings, on samples ``(n, *shape)``.

    Args:
        shape: the shape of a sample.
        layers: see :func:`~poise.models.build`.
        initializer: how the weights begin, such as ``orthogonal`` or ``normal 0 0.02``.

    Raises:
        ConfigError: when a layer is not written as it must be.
        ShapeError: when a layer does not take what comes in.
    """
    return build(layers, tuple(shape), initializer=initializer)


LAYERS = Preset(_generator, _discriminator)
"""The pair of builders, with the options ``layers`` and ``initializer``."""
