"""Mirror images."""

from torch import Tensor

from poise.augment.augment import Augment
from poise.augment.draws import whole, with_chance
from poise.augment.pipeline import pipeline

__all__ = ["flip"]


def flip() -> Augment:
    """With probability p an image becomes one of itself and its mirror image, left and right, at equal odds.

    So with p = 1 half of all images are mirrored: were all of them, the generator would learn mirror images.
    """
    return pipeline(_flipped)


def _flipped(images: Tensor, p: Tensor | float) -> Tensor:
    is_mirrored = with_chance(p, whole(images, 0, 1), 0) == 1
    return images.flip(3).where(is_mirrored[:, None, None, None], images)
