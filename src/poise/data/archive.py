"""Image files in zip and tar archives, read in memory: nothing is ever extracted to disk."""

import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import IO, cast

from poise.data.files import File, is_picture, refuse_large
from poise.data.labels import by_folder
from poise.data.picture import UnreadableError
from poise.errors import DataError

__all__ = ["SUFFIXES", "Tar", "Zip", "archive"]

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
"""The endings of the names of archives, in lower or upper case."""

_DRIVE = re.compile(r"[A-Za-z]:/")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)


class _Archive:
    """What both kinds share: a file on disk, named members, labels by folder."""

    archived = True
    labels = staticmethod(by_folder)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = str(path)

    def identity(self) -> Iterator[str]:
        """The absolute path, size and time of change of the archive."""
        status = self.path.stat()
        yield f"{status.st_size} {status.st_mtime_ns} {self.path.resolve()}"

    def _name(self, member: str) -> str:
        """The relative path of a member, normalized."""
        path = member.replace("\\", "/")
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if path.startswith("/") or _DRIVE.match(path) or ".." in parts:
            raise DataError(
                f"{self.source}: member {member!r} points outside of the archive, which is refused as a whole; "
                "pack it again with relative paths"
            )
        return "/".join(parts)

    @contextmanager
    def _intact(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            raise DataError(
                f"{self.source}: the archive is broken or cut short ({error}); copy or download it again"
            ) from error


class Zip(_Archive):
    """The pictures in a zip archive.

    Args:
        path: the archive.

    Raises:
        DataError: from any method, when the archive is broken or encrypted, or a member points outside of it.
    """

    @property
    def count(self) -> int:
        """The number of pictures."""
        return len(self._members)

    def read(self) -> Iterator[File]:
        """The pictures, in the order in which they are stored."""
        with self._intact(), zipfile.ZipFile(self.path) as opened:
            for name, member in self._members.items():
                yield File(name, member.file_size, self._bytes(opened, member))

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        members = {}
        with self._intact(), zipfile.ZipFile(self.path) as opened:
            for member in opened.infolist():
                name = self._name(member.filename)
                if member.is_dir() or not is_picture(name):
                    continue
                if member.flag_bits & 1:
                    raise DataError(
                        f"{self.source}: member {member.filename!r} is encrypted; unpack it with its password first"
                    )
                members[name] = member
        return members

    @staticmethod
    def _bytes(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> partial[bytes]:
        """Read a member at once, in the thread that iterates: a ZipFile must not be opened from by several threads."""
        try:
            refuse_large(member.file_size)
            return partial(bytes, opened.read(member))
        except UnreadableError as error:
            return partial(_fail, error)
        except (RuntimeError, *_BROKEN) as error:  # one damaged member does not spoil the others
            return partial(_fail, UnreadableError(f"damaged in the archive: {error}"))


class Tar(_Archive):
    """The pictures in a tar archive, plain or compressed by gzip or xz; links and devices in it are ignored.

    It is read from front to end, once for each :meth:`read`: going back in a compressed file means to begin anew.

    Args:
        path: the archive.

    Raises:
        DataError: from any method, when the archive is broken or a member points outside of it.
    """

    count = None

    def read(self) -> Iterator[File]:
        """The pictures, in the order in which they are stored."""
        with self._intact(), _decompressed(self.path) as stream:
            tail = _Tail(stream)
            with tarfile.open(fileobj=tail, mode="r|", tarinfo=_Member) as opened:  # type: ignore[call-overload]
                while (member := opened.next()) is not None:
                    opened.members.clear()  # tarfile keeps all that it has seen, which is much for millions
                    name = self._name(member.name)
                    if member.isreg() and is_picture(name):
                        yield File(name, member.size, self._bytes(opened, member))
            if tail.exhausted:
                raise tarfile.ReadError("it has no end-of-archive mark")

    @staticmethod
    def _bytes(opened: tarfile.TarFile, member: tarfile.TarInfo) -> partial[bytes]:
        try:
            refuse_large(member.size)
        except UnreadableError as error:
            return partial(_fail, error)
        content = opened.extractfile(member)
        return partial(bytes, content.read() if content else b"")


class _Member(tarfile.TarInfo):
    """A member whose header is whole: ``tarfile`` takes a damaged one behind the first for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # Others than these two, which are of an end, tell of a damage, as tarfile's own do not.
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):
                raise
            raise OSError(f"the header of a member is damaged: {error}") from error


class _Tail:
    """A stream that remembers whether it was read beyond its end.

    A whole tar archive ends with an empty block, and nothing behind it is needed. ``tarfile`` takes an archive that is
    cut between two members for a whole one; but to find out that no member follows it has to read beyond the end.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.exhausted = False

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.exhausted |= not data
        return data


def archive(path: Path) -> Zip | Tar:
    """The pictures in an archive, by the ending of its name.

    Args:
        path: an existing file that ends in one of ``SUFFIXES``.
    """
    return Zip(path) if path.name.lower().endswith(".zip") else Tar(path)


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(path))
    return lzma.open(path) if magic == b"\xfd7zXZ\x00" else path.open("rb")


def _fail(error: Exception) -> bytes:
    raise error
