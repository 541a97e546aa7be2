"""Samples themselves as features."""

from torch import Tensor

from poise.metrics.features.extractor import Examples, Extractor, Workplace

__all__ = ["Raw", "raw"]


class Raw(Extractor):
    """Vectors in the units of the data, and the pixels of images from 0 to 255, flattened."""

    name = "raw"

    def features(self, rows: Tensor) -> Tensor:
        """The samples, flattened."""
        return rows.flatten(1)


def raw(examples: Examples, workplace: Workplace) -> Raw:
    """The samples themselves: right for vectors; of images the pixels, which do not tell what is shown."""
    return Raw(workplace)
