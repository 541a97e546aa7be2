"""Data that is an array already: in memory, in a ``.npy`` or in a ``.npz`` file."""

import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property, partial
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poise.data.cache import FORMAT, Record, digest, new_array
from poise.data.dataset import Data
from poise.data.labels import by_value
from poise.data.parallel import Progress, each, in_order
from poise.data.picture import MODES, check_size, default_size, fit
from poise.errors import DataError

__all__ = ["SUFFIXES", "ArrayFile", "Levels", "as_pictures", "from_array", "levels"]

SUFFIXES = (".npy", ".npz")
"""The endings of the names of array files, in lower or upper case."""

_SAMPLES = ("images", "data", "x", "arr_0")
_LABELS = ("labels", "y")
_BLOCK_BYTES = 1 << 24
_SLACK = 1e-3
"""How far floats may be outside of a range: resampling and tanh overshoot by rounding errors."""


class Levels(NamedTuple):
    """How stored values become levels from 0 to 255: ``round(value * factor + offset)``."""

    factor: float
    offset: float


def as_pictures(array: NDArray[Any], source: str) -> NDArray[Any]:
    """View an array of pictures as ``(n, h, w, c)``.

    Args:
        array: ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)`` with c of 1, 3 or 4; where both of the last fit, the
            channels are taken to come last.
        source: what it came from, for messages.

    Raises:
        DataError: when no axis can hold the channels, or a picture has no pixels.
    """
    if array.ndim == 3:
        array = array[..., None]
    elif array.shape[3] not in MODES:
        if array.shape[1] not in MODES:
            raise DataError(
                f"{source}: the shape is {array.shape}, and neither its last nor its second axis holds channels; "
                "pictures are (n, h, w), (n, h, w, c) or (n, c, h, w) with 1, 3 or 4 channels"
            )
        array = array.transpose(0, 2, 3, 1)
    if 0 in array.shape[1:]:
        raise DataError(f"{source}: the shape is {array.shape}, so a picture has no pixels")
    return array


def levels(pictures: NDArray[Any], source: str) -> Levels:
    """Find out what range the values of pictures are in.

    uint8 is taken as it is; uint16 by its whole range; bool as black and white; floats by the narrowest range that holds
    them of [0, 1], [-1, 1] and [0, 255]; other integers are taken as they are, if they are in [0, 255].

    Args:
        pictures: of any shape, the first axis over pictures.
        source: what they came from, for messages.

    Raises:
        DataError: when the type or the range of the values is none of these.
    """
    kind = pictures.dtype
    if kind == np.uint8:
        return Levels(1, 0)
    if kind == np.uint16:
        return Levels(1 / 257, 0)
    if kind == np.bool_:
        return Levels(255, 0)
    if kind.kind not in "iuf":
        raise DataError(f"{source}: the pixels have type {kind}; they must be integers, floats or bool")
    low, high = np.inf, -np.inf
    for start, block in _blocks(pictures):
        if kind.kind == "f" and not np.isfinite(block).all():
            bad = start + int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
            raise DataError(f"{source}: picture {bad} holds NaN or infinity; remove it or repair it")
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if kind.kind == "f" and low >= -_SLACK and high <= 1 + _SLACK:
        return Levels(255, 0)
    if kind.kind == "f" and low >= -1 - _SLACK and high <= 1 + _SLACK:
        return Levels(127.5, 127.5)
    if low >= 0 and high <= 255:
        return Levels(1, 0)
    raise DataError(
        f"{source}: the pixels are {kind} from {low:g} to {high:g}; allowed are uint8, uint16, bool, integers in "
        "[0, 255], and floats in [0, 1], [-1, 1] or [0, 255]: rescale them"
    )


def from_array(array: NDArray[Any], size: int | None, source: str, progress: Progress | None = None) -> Data:
    """Prepare an array in memory, without the cache.

    Args:
        array: vectors ``(n, d)``, or pictures as in :func:`as_pictures`.
        size: the side of the square pictures, in pixels, or None for the default size.
        source: what it came from.
        progress: shows the conversion.

    Raises:
        DataError: when the array or the size is not allowed.
    """
    check_size(size)
    _check_rank(array, source)
    if array.ndim == 2:
        _no_size(size, source)
        vectors, center, scale = _standardized(array, np.empty(array.shape, np.float32), source, progress)
        vectors.setflags(write=False)
        key = digest(f"{FORMAT} vectors {array.shape}", vectors.tobytes())
        return Data(source, "vectors", vectors, None, (), key, center=center, scale=scale)
    pictures = as_pictures(array, source)
    out = np.empty(_prepared_shape(pictures, size), np.uint8)
    _prepare(pictures, out, source, progress)
    out.setflags(write=False)
    return Data(source, "images", out, None, (), digest(f"{FORMAT} array {out.shape}", out.data.cast("B")))


class ArrayFile:
    """A ``.npy`` or ``.npz`` file as a source for the cache. A ``.npy`` is mapped into memory, not read whole.

    Of the arrays in an ``.npz``, the samples are ``images``, ``data``, ``x`` or ``arr_0``, or the only one; the labels are
    ``labels`` or ``y``.

    Args:
        path: the file.
        size: the side of the square pictures, in pixels, or None for the default size.
        progress: shows the conversion.

    Raises:
        DataError: when the size is not allowed; from the methods, when the file is broken or its content not allowed.
    """

    def __init__(self, path: Path, size: int | None, progress: Progress | None) -> None:
        check_size(size)
        self.source = str(path)
        self._path = path
        self._size = size
        self._progress = progress

    def identity(self) -> Iterator[str]:
        """The absolute path, size and time of change of the file, and the size of the pictures."""
        status = self._path.stat()
        yield f"array {self._size} {status.st_size} {status.st_mtime_ns} {self._path.resolve()}"

    def key(self) -> str:
        """The digest of the bytes of the file and the size of the pictures."""
        samples, _ = self._arrays
        side = 0 if samples.ndim == 2 else _prepared_shape(as_pictures(samples, self.source), self._size)[1]
        with self._path.open("rb") as file:
            content = file_digest(file, partial(_blake2b)).digest()
        return digest(f"{FORMAT} array {side}", content)

    def write(self, array: Path) -> Record:
        """Convert the samples."""
        samples, values = self._arrays
        labels, classes = (None, ()) if values is None else by_value(values, len(samples), self.source)
        if samples.ndim == 2:
            out = new_array(array, samples.shape, np.float32)
            out, center, scale = _standardized(samples, out, self.source, self._progress)
            out.flush()
            return Record("vectors", labels, classes, center=center, scale=scale)
        pictures = as_pictures(samples, self.source)
        out = new_array(array, _prepared_shape(pictures, self._size), np.uint8)
        _prepare(pictures, out, self.source, self._progress)
        out.flush()
        return Record("images", labels, classes)
