"""Data that is an array already: in memory, in a ``.npy`` or in a ``.npz`` file."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poise.data.cache import FORMAT, Record, digest, new_array
from poise.data.dataset import Data
from poise.data.density import Mixture
from poise.data.labels import by_value
from poise.data.parallel import Progress, each, in_order
from poise.data.picture import MODES, check_size, default_size, fit
from poise.errors import DataError

__all__ = ["SUFFIXES", "ArrayFile", "Levels", "as_pictures", "from_array", "levels", "refuse_size"]

SUFFIXES = (".npy", ".npz")
"""The endings of the names of array files, in lower or upper case."""

_SAMPLES = ("images", "data", "x", "arr_0")
_LABELS = ("labels", "y")
_BLOCK_BYTES = 1 << 24
_LIGHT_PIXELS = 128 * 128
_SLACK = 1e-3
"""How far floats may be outside of a range: resampling and tanh overshoot by rounding errors."""
_LEAST_OF_16_BITS = 4096
"""Where no value of uint16 pictures is so high, they hold 12 bits or fewer."""
_MOST_MOVED = 0.01
"""By how much of its range a column of vectors may be moved where float32 rounds it."""

Array = TypeVar("Array", bound=NDArray[Any])


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

    uint8 is taken as it is; uint16 by its whole range, of which its values must use a sixteenth; bool as black and
    white; floats by the narrowest range of [0, 1], [-1, 1] and [0, 255] that holds them; other integers are taken as
    they are, if they are in [0, 255].

    Args:
        pictures: of any shape, the first axis over pictures.
        source: what they came from, for messages.

    Raises:
        DataError: when the type or the range of the values is none of these.
    """
    kind = pictures.dtype.newbyteorder("=")
    if kind == np.uint8:
        return Levels(1, 0)
    if kind == np.uint16:
        highest = max(int(block.max()) for _, block in _blocks(pictures))
        if 0 < highest < _LEAST_OF_16_BITS:
            raise DataError(
                f"{source}: the pixels are uint16 and none is above {highest:,}; taken as 16 bits, all would be nearly "
                "black: give them as uint8, or multiplied up to 65,535"
            )
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
    # Floats that hardly exceed 1 are more likely meant for [0, 1], and taken for [0, 255] all would be black.
    if low >= 0 and high <= 255 and (kind.kind != "f" or high >= 2):
        return Levels(1, 0)
    raise DataError(
        f"{source}: the pixels are {kind} from {low:g} to {high:g}; allowed are uint8, uint16, bool, integers in "
        "[0, 255], and floats in [0, 1], [-1, 1] or [0, 255]: rescale them"
    )


def refuse_size(size: int | None, source: str) -> None:
    """Refuse a size that was asked for vectors, rather than to ignore it.

    Raises:
        DataError: when there is one.
    """
    if size is not None:
        raise DataError(f"{source}: size is {size}, and the data is vectors; a size is for pictures: leave it out")


def from_array(
    array: NDArray[Any],
    size: int | None,
    source: str,
    *,
    labels: NDArray[Any] | None = None,
    density: Mixture | None = None,
    progress: Progress | None = None,
) -> Data:
    """Prepare an array in memory, without the cache. The result shares no memory with it.

    Args:
        array: vectors ``(n, d)``, or pictures as in :func:`as_pictures`.
        size: the side of the square pictures, in pixels, or None for the default size.
        source: what it came from.
        labels: integers or strings, ``(n,)``.
        density: the true density of the vectors, where it is known.
        progress: shows the conversion.

    Raises:
        DataError: when the array or the size is not allowed.
    """
    check_size(size)
    _check_rank(array, source)
    out, record = _prepared(array, size, labels, np.empty, source, progress)
    out.setflags(write=False)
    fingerprint = digest(
        f"{FORMAT} {record.kind} {out.shape}",
        out.data.cast("B"),
        "" if record.labels is None else record.labels.astype("<i8").tobytes(),
        *record.classes,
    )
    return Data(
        source=source,
        kind=record.kind,
        array=out,
        labels=record.labels,
        classes=record.classes,
        fingerprint=fingerprint,
        center=record.center,
        scale=record.scale,
        density=density,
    )


class ArrayFile:
    """A ``.npy`` or ``.npz`` file as a source for the cache. A ``.npy`` is mapped into memory, not read whole.

    Of the arrays in an ``.npz``, the samples are ``images``, ``data``, ``x`` or ``arr_0``, or the only one; the labels
    are ``labels`` or ``y``.

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
            content = file_digest(file, "blake2b").digest()
        return digest(f"{FORMAT} array {side}", content)

    def write(self, array: Path) -> Record:
        """Convert the samples."""
        samples, labels = self._arrays
        out, record = _prepared(samples, self._size, labels, partial(new_array, array), self.source, self._progress)
        out.flush()
        return record

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The samples, and the labels if there are any."""
        try:
            with self._path.open("rb") as file:
                if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):  # the latter begins one without arrays
                    file.seek(0)
                    samples, labels = self._unpacked(np.load(file, allow_pickle=False))
                else:
                    samples, labels = np.load(self._path, mmap_mode="r", allow_pickle=False), None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{self.source}: cannot be read as a NumPy file ({error}); save it with np.save or np.savez, "
                "without Python objects"
            ) from error
        _check_rank(samples, self.source)
        if samples.ndim == 2:
            refuse_size(self._size, self.source)
        return samples, labels

    def _unpacked(self, arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        names = list(arrays)
        labels = next((arrays[name] for name in _LABELS if name in names), None)
        others = [name for name in names if name not in _LABELS]
        for name in (*_SAMPLES, *(others if len(others) == 1 else ())):
            if name in names:
                return arrays[name], labels
        raise DataError(
            f"{self.source}: it holds the arrays {', '.join(names) or '(none)'}, and which are the samples is open; "
            f"name them {', '.join(_SAMPLES[:-1])} or {_SAMPLES[-1]}, or save them alone"
        )


def _check_rank(array: NDArray[Any], source: str) -> None:
    if array.ndim not in {2, 3, 4}:
        raise DataError(
            f"{source}: the array has rank {array.ndim}, shape {array.shape}; allowed are rank 2, vectors (n, d); "
            "rank 3, gray pictures (n, h, w); and rank 4, pictures (n, h, w, c) or (n, c, h, w)"
        )
    if len(array) < 2:
        raise DataError(f"{source}: the array has shape {array.shape}; training needs at least 2 samples")


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Slices along the first axis that take a bounded amount of memory, each with its start."""
    rows = max(1, _BLOCK_BYTES // max(1, array[0].size * 8))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def _count_blocks(array: NDArray[Any]) -> int:
    return sum(1 for _ in _blocks(array))


def _prepared_shape(pictures: NDArray[Any], size: int | None) -> tuple[int, int, int, int]:
    count, height, width, channels = pictures.shape
    side = size or default_size([min(height, width)])
    return count, side, side, channels


def _prepared(
    samples: NDArray[Any],
    size: int | None,
    labels: NDArray[Any] | None,
    allocate: Callable[[tuple[int, ...], type[np.generic]], Array],
    source: str,
    progress: Progress | None,
) -> tuple[Array, Record]:
    """Convert samples into the array that ``allocate(shape, dtype)`` makes, and say all that belongs to it."""
    indices, classes = (None, ()) if labels is None else by_value(labels, len(samples), source)
    if samples.ndim == 2:
        refuse_size(size, source)
        out = allocate(samples.shape, np.float32)
        center, scale = _standardize(samples, out, source, progress)
        return out, Record("vectors", indices, classes, center=center, scale=scale)
    pictures = as_pictures(samples, source)
    out = allocate(_prepared_shape(pictures, size), np.uint8)
    _convert(pictures, out, source, progress)
    return out, Record("images", indices, classes)


def _convert(pictures: NDArray[Any], out: NDArray[np.uint8], source: str, progress: Progress | None) -> None:
    """Scale pictures ``(n, h, w, c)`` to levels from 0 to 255, and crop and resize them, into ``out``."""
    scaling = levels(pictures, source)
    work = partial(_fitted, size=out.shape[1])
    for start, block in each(_blocks(pictures), _count_blocks(pictures), progress):
        scaled = _to_levels(block, scaling)
        if scaled.shape[1:] == out.shape[1:]:
            out[start : start + len(block)] = scaled
            continue
        for index, fitted in enumerate(in_order(work, scaled, _is_light)):
            out[start + index] = fitted


def _to_levels(block: NDArray[Any], scaling: Levels) -> NDArray[np.uint8]:
    if block.dtype == np.uint8:
        return block
    values = block.astype(np.float32) * np.float32(scaling.factor) + np.float32(scaling.offset)
    quantized: NDArray[np.uint8] = np.rint(values).clip(0, 255).astype(np.uint8)
    return quantized


def _is_light(pixels: NDArray[np.uint8]) -> bool:
    return pixels.size < _LIGHT_PIXELS


def _fitted(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    channels = pixels.shape[2]
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels))
    fitted: NDArray[np.uint8] = np.asarray(fit(image, size)).reshape(size, size, channels)
    return fitted


def _require_told_apart(low: NDArray[Any], high: NDArray[Any], moved: NDArray[Any], source: str) -> None:
    """Refuse columns whose values float32 moves by much of their range, such as times in seconds since 1970."""
    lost = np.flatnonzero((high > low) & (moved > _MOST_MOVED * (high - low)))
    if lost.size:
        column = int(lost[0])
        raise DataError(
            f"{source}: float32 cannot tell apart what column {column} holds, values from {low[column]} to "
            f"{high[column]}: subtract {low[column]} from it first"
        )


def _standardize(
    array: NDArray[Any], out: NDArray[np.float32], source: str, progress: Progress | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Copy vectors into ``out``, and give the mean and the standard deviation of every column."""
    if array.dtype.kind not in "biuf" or array.shape[1] == 0:
        raise DataError(
            f"{source}: vectors of shape {array.shape} and type {array.dtype}; they must have columns, of integers or "
            "floats"
        )
    total, moved = np.zeros(array.shape[1]), np.zeros(array.shape[1])
    low, high = np.full(array.shape[1], np.inf), np.full(array.shape[1], -np.inf)
    for start, block in each(_blocks(array), _count_blocks(array), progress):
        rows = out[start : start + len(block)]
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            rows[:] = block
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            bad = start + int(np.argmin(finite))
            raise DataError(
                f"{source}: row {bad} holds NaN, infinity or a number too large for float32; remove or repair such rows"
            )
        total += rows.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        moved = np.maximum(moved, np.abs(rows - block.astype(np.float64)).max(axis=0))
    _require_told_apart(low, high, moved, source)
    mean = total / len(array)
    squares = np.zeros(array.shape[1])
    for _, rows in _blocks(out):
        squares += np.square(rows - mean).sum(axis=0)
    # A constant column is told by its values, because rounding of its mean may leave a deviation above 0.
    scale = np.where(low == high, 1.0, np.sqrt(squares / len(array)))
    return mean.astype(np.float32), scale.astype(np.float32)
