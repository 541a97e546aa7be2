"""The normalization of a preset's features, as an option."""

from typing import Literal, get_args

from torch import nn

from poise.errors import ConfigError, nearest

__all__ = ["Norm", "norm2d", "require_norm"]

Norm = Literal["batch", "none"]


def require_norm(norm: Norm) -> None:
    """Refuse what is no normalization: Python does not hold callers to a ``Literal``.

    Raises:
        ConfigError: naming those that are.
    """
    if norm not in get_args(Norm):
        raise ConfigError(f"norm: there is no normalization {norm!r} {nearest(str(norm), get_args(Norm))}")


def norm2d(channels: int, norm: Norm) -> list[nn.Module]:
    """The layers that normalize images of so many channels: one, or none."""
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []
