"""All features by their names."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from poise.metrics.features.classifier import classifier
from poise.metrics.features.classifier import require as require_classifier
from poise.metrics.features.dinov2 import dinov2
from poise.metrics.features.dinov2 import require as require_dinov2
from poise.metrics.features.extractor import Examples, Extractor, Workplace
from poise.metrics.features.inception import inception
from poise.metrics.features.inception import require as require_inception
from poise.metrics.features.raw import raw, require_vectors, standardized

__all__ = ["FEATURES", "Features"]


class Features(NamedTuple):
    """An entry of the table.

    Attributes:
        make: the extractor for this data; long work is done here, and weights are fetched.
        require: refuses, at once, data or machines for which there can be none.
    """

    make: Callable[[Examples, Workplace], Extractor]
    require: Callable[[Examples], object]


FEATURES: Mapping[str, Features] = MappingProxyType(
    {
        "raw": Features(raw, lambda examples: None),
        "standardized": Features(standardized, require_vectors),
        "classifier": Features(classifier, require_classifier),
        "inception": Features(inception, require_inception),
        "dinov2": Features(dinov2, require_dinov2),
    }
)
"""Every kind of features by its name."""
