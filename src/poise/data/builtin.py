"""Data that comes with poise: small enough to try things on, and known well enough to judge them by."""

import gzip
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from poise.data.array import from_array, refuse_size
from poise.data.dataset import Data
from poise.data.density import Mixture

__all__ = ["BUILTIN", "digits", "grid25", "ring8"]

_DIGITS = Path("datasets", "data", "digits.csv.gz")

POINTS = 100_000
"""How many points of a density are drawn."""


def digits(size: int | None = None) -> Data:
    """1,797 handwritten digits of 8 by 8 gray pixels, with their values as labels.

    Args:
        size: the side of the pictures, in pixels, or None for 8.

    Raises:
        DataError: when the size is not allowed.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, as it
    comes with scikit-learn.
    """
    levels, labels = _digits()
    pictures = np.rint(levels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return from_array(pictures, size, "digits", labels=labels)


def ring8(size: int | None = None) -> Data:
    """100,000 points of 8 narrow Gaussians on the unit circle, sigma 0.01, with the mode of each point as label.

    Args:
        size: must be None; it is for pictures.

    Raises:
        DataError: when a size is given.

    Source: Srivastava et al. 2017, VEEGAN, arXiv 1705.07761, section 4.1, the 2D ring.
    """
    angles = 2 * np.pi * np.arange(8) / 8
    return _points("ring8", Mixture(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.01), size)


def grid25(size: int | None = None) -> Data:
    """100,000 points of 25 Gaussians on the grid {-4, -2, 0, 2, 4}^2, sigma 0.05, with the mode of each as label.

    Args:
        size: must be None; it is for pictures.

    Raises:
        DataError: when a size is given.

    Source: Srivastava et al. 2017, VEEGAN, arXiv 1705.07761, section 4.1, the 2D grid.
    """
    at = np.arange(-4.0, 5.0, 2.0)
    return _points("grid25", Mixture(np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2), 0.05), size)


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The levels from 0 to 16 of every pixel, ``(n, 64)``, and the labels ``(n,)``."""
    # Importing scikit-learn takes as long as importing torch. Finding it imports nothing, and its file is plain text.
    sklearn = find_spec("sklearn")
    path = Path(sklearn.origin).parent / _DIGITS if sklearn is not None and sklearn.origin else None
    if path is None or not path.is_file():
        from sklearn.datasets import load_digits

        loaded = load_digits()
        return loaded.data, loaded.target
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def _points(name: str, density: Mixture, size: int | None) -> Data:
    refuse_size(size, name)
    points, modes = density.draw(POINTS, np.random.default_rng(0))
    return from_array(points, None, name, labels=modes, density=density)


BUILTIN: Mapping[str, Callable[[int | None], Data]] = MappingProxyType(
    {"digits": digits, "ring8": ring8, "grid25": grid25}
)
"""Every built-in data set by its name. The value builds it for a size in pixels, or None for its own."""
