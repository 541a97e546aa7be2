"""The channels that changes of color are of."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["is_colored", "of_pixels", "recolored"]


def is_colored(images: Tensor) -> bool:
    """Whether images have red, green and blue, with or without an opacity."""
    return images.shape[1] in (3, 4)


def recolored(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images with changed colors; a fourth channel is their opacity, which stays."""
    if images.shape[1] != 4:
        return change(images)
    return torch.cat((change(images[:, :3]), images[:, 3:]), 1)


def of_pixels(numbers: Tensor) -> Tensor:
    """Numbers ``(n,)`` or ``(n, c)``, as ``(n, 1, 1, 1)`` or ``(n, c, 1, 1)`` to meet images."""
    return numbers.reshape(len(numbers), -1, 1, 1)
