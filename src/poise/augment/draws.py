"""What augmentations draw, one number for each sample.

Numbers are float32 or int64 whatever the images are, and nothing here waits for the device.
"""

from math import pi

import torch
from torch import Tensor

from poise.parallel import batch

__all__ = ["angles", "normal", "uniform", "whole", "with_chance"]


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """``(n,)`` from U[low, high)."""
    return low + (high - low) * batch.rand(len(images), device=images.device)


def normal(images: Tensor, std: float) -> Tensor:
    """``(n,)`` from N(0, std^2)."""
    return std * batch.randn(len(images), device=images.device)


def whole(images: Tensor, low: int, high: int) -> Tensor:
    """``(n,)`` whole numbers from low to high, both included."""
    return batch.randint(low, high + 1, len(images), device=images.device)


def angles(images: Tensor) -> Tensor:
    """``(n,)`` from U[-pi, pi)."""
    return uniform(images, -pi, pi)


def with_chance(p: Tensor | float, drawn: Tensor, neutral: float) -> Tensor:
    """What was drawn, for each sample with probability p; else ``neutral``.

    Args:
        p: the probability, a number or ``()``.
        drawn: ``(n,)``, or ``(k, n)`` for numbers that go together.
        neutral: the number that changes nothing.
    """
    return torch.where(batch.rand(drawn.shape[-1], device=drawn.device) < p, drawn, neutral)
