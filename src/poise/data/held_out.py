"""Samples that are not trained on."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poise.errors import DataError

__all__ = ["held_out"]

# By default one sample in so many; of few samples more, as fewer would tell nothing; more than the most tell no more.
_ONE_IN, _ONE_IN_FEW, _FEW, _MOST = 32, 16, 16, 256
_LEAST = 2
_SEED = 0


def held_out(count: int, wanted: int | Literal["auto"] = "auto") -> NDArray[np.int64]:
    """The indices of samples that are not trained on; the same for all runs on the same data.

    Args:
        count: how many samples there are.
        wanted: how many not to train on; ``auto`` is one in 32 and at most 256; where that is less than 16, one
            in 16 and at most 16; and none of fewer than 32.

    Raises:
        DataError: when none would be left.
    """
    aside = _fitting(count) if wanted == "auto" else wanted
    if aside >= count:
        raise DataError(f"held_out is {aside} and the data has only {count} samples: none would be left to train on")
    return np.sort(np.random.default_rng(_SEED).choice(count, aside, replace=False))


def _fitting(count: int) -> int:
    wanted = max(min(count // _ONE_IN, _MOST), min(count // _ONE_IN_FEW, _FEW))
    return wanted if wanted >= _LEAST else 0
