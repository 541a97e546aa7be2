"""Samples that are not trained on."""

import numpy as np
from numpy.typing import NDArray

from poise.errors import DataError

__all__ = ["held_out"]

# By default one sample in so many, where there are enough to tell anything by them; more than the most tell no more.
_ONE_IN, _LEAST, _MOST = 32, 16, 256
_SEED = 0


def held_out(count: int, wanted: int | None = None) -> NDArray[np.int64]:
    """The indices of samples that are not trained on; the same for all runs on the same data.

    Args:
        count: how many samples there are.
        wanted: how many not to train on; if it is not given, one in 32, at most 256, and none of fewer than 512.

    Raises:
        DataError: when none would be left.
    """
    if wanted is None:
        wanted = min(count // _ONE_IN, _MOST)
        wanted = wanted if wanted >= _LEAST else 0
    if wanted >= count:
        raise DataError(f"held_out is {wanted} and the data has only {count} samples: none would be left to train on")
    return np.sort(np.random.default_rng(_SEED).choice(count, wanted, replace=False))
