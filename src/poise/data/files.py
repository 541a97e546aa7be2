"""Named image files, wherever they lie: what every source of files can do, and the plain folder."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, Protocol

from poise.data.labels import Labels, by_folder
from poise.data.picture import EXTENSIONS, FOREIGN_EXTENSIONS, UnreadableError
from poise.errors import DataError

__all__ = ["MAX_BYTES", "File", "Files", "Folder", "is_picture", "refuse_large"]

MAX_BYTES = 1 << 29
"""A larger file, in bytes, counts as unreadable, so that a bomb in an archive cannot fill the memory."""


class File(NamedTuple):
    """One image file.

    Attributes:
        name: its path relative to the root, with ``/`` between its parts.
        size: its bytes.
        read: gives its bytes; raises OSError or UnreadableError. Safe to call in any thread, soon after it was yielded.
    """

    name: str
    size: int
    read: Callable[[], bytes]


class Files(Protocol):
    """A set of image files that can be read more than once."""

    @property
    def source(self) -> str:
        """What the person gave, for messages."""
        ...

    @property
    def archived(self) -> bool:
        """Whether a single folder around everything is an artefact of packing, and not part of the names."""
        ...

    @property
    def count(self) -> int | None:
        """The number of files, or None while that is not known without reading all."""
        ...

    def identity(self) -> Iterator[str]:
        """What changes whenever the content does, without reading the content."""
        ...

    def read(self) -> Iterator[File]:
        """Every file, in an order that suits the medium."""
        ...

    def labels(self, names: Sequence[str]) -> Labels:
        """The labels of the files with these names, in this order."""
        ...


def is_picture(name: str) -> bool:
    """Whether a relative path names a picture: by its extension, hidden files and folders excluded."""
    parts = name.split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    return "." in parts[-1] and parts[-1].rsplit(".", 1)[1].lower() in EXTENSIONS + FOREIGN_EXTENSIONS


def refuse_large(size: int) -> None:
    """Refuse a file of ``size`` bytes before it is read.

    Raises:
        UnreadableError: when it is larger than ``MAX_BYTES``.
    """
    if size > MAX_BYTES:
        raise UnreadableError(f"it has {size:,} bytes, more than the {MAX_BYTES:,} that are allowed")


# What tells a run from a folder of pictures: its samples would be trained on otherwise, more of them each time.
_OF_A_RUN = ("config.yaml", "events.jsonl", "samples")


class _Found(NamedTuple):
    path: str
    size: int
    mtime_ns: int


class Folder:
    """The pictures in a folder and all folders below it, but for those in directories of runs.

    Symbolic links are followed, but not in circles.

    Args:
        path: the folder.
        source: what the person gave for it.

    Raises:
        DataError: from any method, when a folder cannot be listed.
    """

    archived = False
    labels = staticmethod(by_folder)

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source

    @property
    def count(self) -> int:
        """The number of pictures."""
        return len(self._found)

    def identity(self) -> Iterator[str]:
        """The absolute path, and the name, size and time of change of every picture."""
        yield str(self.path.resolve())
        for name, found in self._found.items():
            yield f"{found.size} {found.mtime_ns} {name}"

    def read(self) -> Iterator[File]:
        """The pictures, sorted by relative path."""
        for name, found in self._found.items():
            yield File(name, found.size, partial(_read, found))

    @cached_property
    def _found(self) -> dict[str, _Found]:
        try:
            return dict(sorted(_walk(self.path, "", ())))
        except OSError as error:
            raise DataError(
                f"{error.filename or self.path}: the folder cannot be listed ({error.strerror}); check its permissions"
            ) from error


def _read(found: _Found) -> bytes:
    refuse_large(found.size)
    return Path(found.path).read_bytes()


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, _Found]]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that we are inside of
        return
    if prefix and all((folder / name).exists() for name in _OF_A_RUN):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            try:
                status = entry.stat()
            except OSError:  # a link to nowhere: reading it will say so
                if is_picture(name):
                    yield name, _Found(entry.path, 0, 0)
                continue
            if stat.S_ISDIR(status.st_mode):
                if not entry.name.startswith(".") and entry.name != "__MACOSX":
                    yield from _walk(Path(entry.path), f"{name}/", (*above, here))
            elif stat.S_ISREG(status.st_mode) and is_picture(name):
                yield name, _Found(entry.path, status.st_size, status.st_mtime_ns)
