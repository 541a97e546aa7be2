"""What an augmentation is, and how it is used in a training."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import Tensor

from poise.augment.adaptive import Adaptive
from poise.schedules import Number

__all__ = ["Augment", "Augmented"]

Augment: TypeAlias = Callable[[Tensor, Tensor | float], Tensor]
"""``(images, p) -> images``.

Takes images ``(n, c, h, w)`` in [-1, 1] and the probability of each transformation, a number or a 0-d tensor in [0, 1].
Gives images of the same shape, type and memory format. Each transformation is drawn for each sample by itself; with
p = 0 images come back unchanged, to the bit.
"""


class Augmented(NamedTuple):
    """How a training augments.

    Attributes:
        augment: what is done to images.
        p: the probability of each transformation: a number or a schedule in [0, 1]; where there is an
            ``adaptive`` rule, the number at which p begins.
        adaptive: the rule by which p moves, or None to have it follow ``p``.
    """

    augment: Augment
    p: Number = 1.0
    adaptive: Adaptive | None = None
