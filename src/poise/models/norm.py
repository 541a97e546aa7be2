"""The normalization of a preset's features, as an option."""

from typing import Literal, get_args

from torch import nn

from poise.errors import ConfigError, nearest
from poise.models.conditional import ConditionalBatchNorm2d

__all__ = ["Norm", "norm2d", "require_norm"]

Norm = Literal["batch", "none"]


def require_norm(norm: Norm) -> None:
    """Refuse what is no normalization: Python does not hold callers to a ``Literal``.

    Raises:
        ConfigError: naming those that are.
    """
    if norm not in get_args(Norm):
        raise ConfigError(f"norm: there is no normalization {norm!r} {nearest(str(norm), get_args(Norm))}")


def norm2d(channels: int, norm: Norm, classes: int = 0) -> list[nn.Module]:
    """The layers that normalize images of so many channels: one, with classes a conditional one; or none."""
    if norm != "batch":
        return []
    return [ConditionalBatchNorm2d(classes, channels) if classes else nn.BatchNorm2d(channels)]
