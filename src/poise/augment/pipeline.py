"""Transformations in turn, as one augmentation."""

import torch
from torch import Tensor

from poise.augment.augment import Augment
from poise.errors import ShapeError

__all__ = ["pipeline"]


def pipeline(*transformations: Augment) -> Augment:
    """The augmentation that does one transformation after the other.

    Args:
        transformations: may give another type or memory format than they take; that of the whole is kept.
    """

    def augment(images: Tensor, p: Tensor | float) -> Tensor:
        if images.ndim != 4:
            raise ShapeError(
                f"augmentations are of images (n, c, h, w), and the samples' shape is {tuple(images.shape)}; leave "
                "augmentation out for other data"
            )
        is_channels_last = images.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_channels_last and not images.is_contiguous() else torch.contiguous_format
        changed = images
        for transformation in transformations:
            changed = transformation(changed, p)
        return changed.to(images.dtype).contiguous(memory_format=layout)

    return augment
