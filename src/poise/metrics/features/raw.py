"""Samples themselves as features."""

import numpy as np
import torch
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
        scale: the standard deviations, ``(d,)``; 1 where a column is constant.
    """

    name = "standardized"
    costs_nothing = True

    def __init__(self, workplace: Workplace, center: Tensor, scale: Tensor) -> None:
        super().__init__(workplace)
        self._center, self._scale = (it.to(workplace.device) for it in (center, scale))

    def features(self, rows: Tensor) -> Tensor:
        """The samples in these units."""
        return (rows - self._center) / self._scale


def require_vectors(examples: Examples) -> None:
    """Refuse images.

    Raises:
        MetricError: naming the features.
    """
    if examples.are_images:
        raise MetricError("standardized features are of vectors, and this data is of images; take raw ones")


def standardized(examples: Examples, workplace: Workplace) -> Standardized:
    """Columns in units of their own spread: right for vectors."""
    require_vectors(examples)
    center, scale = examples.rows.mean(0, dtype=np.float64), examples.rows.std(0, dtype=np.float64)
    scale = np.where(examples.rows.min(0) == examples.rows.max(0), 1.0, scale)
    return Standardized(workplace, *(torch.from_numpy(it.astype(np.float32)) for it in (center, scale)))
