"""Preparing image files: one pass that learns what they are, one that decodes them straight into one array."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poise.data import picture
from poise.data.cache import FORMAT, Record, digest, new_array
from poise.data.files import File, Files
from poise.data.parallel import Progress, each, in_order
from poise.errors import DataError

__all__ = ["MAX_UNREADABLE", "Pictures"]

MAX_UNREADABLE = 0.05
"""The share of files that may be unreadable; with more of them something is wrong with the data as a whole."""

SMALL_BYTES = 1 << 12
"""Smaller files are decoded where they are read: for 28 by 28 pixels, threads took more than twice as long, because
Python's own work for a file is then most of it."""

FAR_SECONDS = 1e-3
"""Small files that take longer to survey, on average, are far away, as on a network's disk: threads wait for these."""


class _Seen(NamedTuple):
    """What the first pass learned of a file; ``look`` is None and ``reason`` says why where it is unreadable."""

    title: str
    digest: str
    look: picture.Look | None
    reason: str


class _Survey(NamedTuple):
    """What the first pass learned of all files, by name in sorted order, and the size and channels that follow."""

    seen: dict[str, _Seen]
    size: int
    channels: int


class Pictures:
    """A set of image files as a source for the cache.

    Args:
        files: the files.
        size: the side of the square pictures, in pixels, or None for the default size.
        progress: shows each pass over files whose number is known.

    Raises:
        DataError: when the size is not allowed; from the methods, when there are too few files or too many unreadable.
    """

    def __init__(self, files: Files, size: int | None, progress: Progress | None) -> None:
        picture.check_size(size)
        self.source = files.source
        self._files = files
        self._size = size
        self._progress = progress

    def identity(self) -> Iterator[str]:
        """What changes whenever the files do, and the size."""
        yield f"pictures {self._size}"
        yield from self._files.identity()

    def key(self) -> str:
        """The digest of format, size, and the name, label and content of every file."""
        survey = self._survey
        labels, classes = self._files.labels([seen.title for seen in survey.seen.values()])
        return digest(
            f"{FORMAT} pictures {survey.size} {len(survey.seen)}",
            *(part for seen in survey.seen.values() for part in (seen.title, seen.digest)),
            b"" if labels is None else labels.astype("<i8").tobytes(),
            *classes,
        )

    def write(self, array: Path) -> Record:
        """Decode every readable file into its row, in the order of names."""
        survey = self._survey
        size, channels = survey.size, survey.channels
        reasons = {name: seen.reason for name, seen in survey.seen.items() if seen.look is None}
        rows = {name: row for row, name in enumerate(name for name in survey.seen if name not in reasons)}
        pixels = new_array(array, (len(rows), size, size, channels), np.uint8)
        wanted = (file for file in self._files.read() if file.name in rows)
        with picture.quiet():
            decoded = in_order(partial(_decode, size=size, channels=channels), wanted, light=_is_small)
            for name, result in each(decoded, len(rows), self._progress):
                if isinstance(result, str):
                    reasons[name] = result
                else:
                    pixels[rows[name]] = result
                    reasons.pop(name, None)
        self._check(reasons, len(survey.seen))
        kept = [name for name in rows if name not in reasons]
        _keep(array, pixels, np.array([rows[name] for name in kept]))
        labels, classes = self._files.labels([survey.seen[name].title for name in kept])
        skipped = (f"{survey.seen[name].title}: {reasons[name]}" for name in sorted(reasons))
        return Record("images", labels, classes, tuple(skipped))

    @cached_property
    def _survey(self) -> _Survey:
        """The first pass: read every file, hash its content, look at its header."""
        found: dict[str, _Seen] = {}
        transparent = False
        pace = _Pace()

        def see(file: File) -> tuple[str, _Seen]:
            # One transparent picture settles the channels, which spares the decoding of all that follow.
            with pace.of(file):
                return file.name, _see(file, transparency=not transparent)

        with picture.quiet():
            surveyed = in_order(see, self._files.read(), light=lambda file: _is_small(file) and pace.is_quick)
            for name, seen in each(surveyed, self._files.count, self._progress):
                found[name] = seen  # in a tar archive a later member replaces an earlier one of the same name
                transparent |= seen.look is not None and seen.look.transparent
        found = dict(sorted(found.items()))
        if self._files.archived:
            found = _without_root(found)
        self._check({name: seen.reason for name, seen in found.items() if seen.look is None}, len(found))
        looks = [seen.look for seen in found.values() if seen.look is not None]
        size = self._size or picture.default_size([look.short_side for look in looks])
        return _Survey(found, size, picture.channels(looks))

    def _check(self, reasons: Mapping[str, str], count: int) -> None:
        if count < 2:
            raise DataError(
                f"{self.source}: {'one image' if count else 'no image'} was found in it, and training needs at least "
                f"2; images are files that end in .{', .'.join(picture.EXTENSIONS)}"
            )
        if len(reasons) > MAX_UNREADABLE * count:
            first = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items())[:3])
            raise DataError(
                f"{self.source}: {len(reasons):,} of {count:,} images cannot be read ({first}"
                f"{'; ...' if len(reasons) > 3 else ''}); up to {MAX_UNREADABLE:.0%} are skipped, with more the "
                "data is refused: repair or remove them"
            )


class _Pace:
    """How long small files take."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._count = 0

    @property
    def is_quick(self) -> bool:
        """Whether they are near."""
        return self._seconds <= FAR_SECONDS * max(self._count, 1)

    @contextmanager
    def of(self, file: File) -> Iterator[None]:
        """Measure what is done with a file."""
        t0 = time.perf_counter()
        yield
        if _is_small(file):
            self._seconds += time.perf_counter() - t0
            self._count += 1


def _is_small(file: File) -> bool:
    return file.size < SMALL_BYTES


def _without_root(found: dict[str, _Seen]) -> dict[str, _Seen]:
    """Take a single folder around everything out of the titles."""
    roots = {name.split("/", 1)[0] if "/" in name else "" for name in found}
    if len(roots) != 1 or "" in roots:
        return found
    return {name: seen._replace(title=name.split("/", 1)[1]) for name, seen in found.items()}


def _see(file: File, *, transparency: bool) -> _Seen:
    try:
        data = file.read()
    except (OSError, picture.UnreadableError) as error:
        return _Seen(file.name, "", None, _reason(error))
    try:
        return _Seen(file.name, digest(data), picture.look(data, transparency=transparency), "")
    except picture.UnreadableError as error:
        return _Seen(file.name, digest(data), None, _reason(error))


def _decode(file: File, size: int, channels: int) -> tuple[str, NDArray[np.uint8] | str]:
    try:
        return file.name, picture.decode(file.read(), size, channels)
    except (OSError, picture.UnreadableError) as error:
        return file.name, _reason(error)


def _reason(error: Exception) -> str:
    """What to say of a file that cannot be read. The text of an OSError would repeat its path."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _keep(path: Path, pixels: np.memmap[Any, np.dtype[Any]], rows: NDArray[np.int64]) -> None:
    """Put a mapped array on the disk with only these rows."""
    if len(rows) == len(pixels):
        pixels.flush()
        return
    rest = path.with_suffix(".rest")
    kept = new_array(rest, (len(rows), *pixels.shape[1:]), pixels.dtype.type)
    for start in range(0, len(rows), 1024):
        kept[start : start + 1024] = pixels[rows[start : start + 1024]]
    kept.flush()
    rest.replace(path)
