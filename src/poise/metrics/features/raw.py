"""Samples themselves as features."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poise.errors import MetricError
from poise.metrics.features.extractor import Examples, Extractor, Workplace

__all__ = ["Raw", "Standardized", "raw", "require_vectors", "standardized"]


class Raw(Extractor):
    """Vectors in the units of the data, and the pixels of images from 0 to 255, flattened."""

    name = "raw"
    costs_nothing = True

    def features(self, rows: Tensor) -> Tensor:
        """The samples, flattened."""
        return rows.flatten(1)


def raw(examples: Examples, workplace: Workplace) -> Raw:
    """The samples themselves: of images the pixels, which do not tell what is shown."""
    return Raw(workplace)


class Standardized(Extractor):
    """Vectors, each column less the data's mean and over its standard deviation: no unit outweighs the others.

    Args:
        workplace: where it is done.
        center: the means, ``(d,)``.
        scale: the standard deviations, ``(d,)``.
    """

    name = "standardized"
    costs_nothing = True

    def __init__(self, workplace: Workplace, center: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        super().__init__(workplace)
        self._center, self._scale = (torch.from_numpy(it).to(workplace.device) for it in (center, scale))

    def features(self, rows: Tensor) -> Tensor:
        """The samples in these units."""
        return (rows - self._center) / self._scale


def require_vectors(examples: Examples) -> None:
    """Refuse images, and vectors of unknown spread.

    Raises:
        MetricError: naming the features.
    """
    if examples.are_images:
        raise MetricError("standardized features are of vectors, and this data is of images; take raw ones")
    if examples.center is None or examples.scale is None:
        raise MetricError("standardized features need the center and the scale of every column; take raw ones")


def standardized(examples: Examples, workplace: Workplace) -> Standardized:
    """Columns in units of their own spread: right for vectors."""
    require_vectors(examples)
    assert examples.center is not None
    assert examples.scale is not None
    return Standardized(workplace, examples.center, examples.scale)
