"""What a preset is given, checked: each refusal says what to give instead."""

from collections.abc import Sequence

from poise.errors import ConfigError, ShapeError

__all__ = ["require_positive", "square"]

_CHANNELS = (1, 3, 4)


def square(preset: str, shape: Sequence[int], sides: Sequence[int]) -> tuple[int, int]:
    """The channels and the side of square images.

    Args:
        preset: who asks, for the message.
        shape: ``(channels, side, side)``, with 1, 3 or 4 channels.
        sides: the sides that the preset can do.

    Raises:
        ShapeError: when the shape is another.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in sides or shape[0] not in _CHANNELS:
        raise ShapeError(
            f"{preset} makes images of 1, 3 or 4 channels and a side of {', '.join(map(str, sides[:-1]))} or "
            f"{sides[-1]}, not shape {tuple(shape)}; give --size, or take generator=mlp discriminator=mlp"
        )
    return shape[0], shape[1]


def require_positive(**sizes: int) -> None:
    """Refuse a size that is below 1.

    Raises:
        ConfigError: naming it.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} is {size}; it must be at least 1")
