"""The cache of prepared data: each entry is a directory, named by content and settings, that appears as a whole."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from poise.data.dataset import Data
from poise.data.scaling import Kind
from poise.errors import DataError
from poise.files import sync, write_atomic

__all__ = ["Cache", "Record", "Source", "cache_directory", "digest", "new_array"]

FORMAT = 1
"""Part of every key. Count it up when the same files shall give other arrays, so that no old entry is taken for new."""


@dataclass(frozen=True, eq=False)
class Record:
    """What belongs to a prepared array besides the array; see :class:`poise.data.Data` for the fields."""

    kind: Kind
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    center: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None


class Source(Protocol):
    """Something that can be prepared once and then be found again."""

    @property
    def source(self) -> str:
        """What the person gave."""
        ...

    def identity(self) -> Iterable[str]:
        """What changes whenever content or settings do, without reading the content."""
        ...

    def key(self) -> str:
        """The digest of content and settings. It reads the content."""
        ...

    def write(self, array: Path) -> Record:
        """Prepare the data and write it as a ``.npy`` file of that path."""
        ...


def digest(*parts: str | bytes | memoryview) -> str:
    """The hex digest of a sequence of parts. Their lengths are hashed too, so no two sequences run together."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def cache_directory(cache: Path | None) -> Path:
    """The directory to use: ``cache``, or else ``$POISE_CACHE``, ``$XDG_CACHE_HOME/poise`` or ``~/.cache/poise``."""
    if cache is not None:
        return cache
    if chosen := os.environ.get("POISE_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "poise"
    return Path.home() / ".cache" / "poise"


def new_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap[Any, np.dtype[Any]]:
    """A new ``.npy`` file, mapped into memory for writing.

    Raises:
        DataError: when the disk has no room for it. Writing into a map on a full disk would kill the process.
    """
    need = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(path.parent).free
    full = DataError(
        f"{path.parent.parent}: the prepared data needs {need / 1e9:,.1f} GB and the disk has {free / 1e9:,.1f} "
        "GB; make room, choose a smaller size, or set POISE_CACHE to a larger disk"
    )
    if need > free:
        raise full
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # others may fill the disk while this is written
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise full from error
    return array


class Cache:
    """Prepared data under ``<directory>/data``.

    ``<key>/`` holds ``array.npy``, ``labels.npy`` where there are labels, and ``meta.json``. ``index/`` maps what can
    be known of a source without reading it to the key of its content.

    Args:
        directory: the cache directory; it is made when something is written.
    """

    def __init__(self, directory: Path) -> None:
        self.root = directory / "data"

    def fetch(self, source: Source) -> Data:
        """The prepared data of a source: from the cache where it is there and intact, else prepared now.

        Args:
            source: what to prepare.

        Raises:
            DataError: when the source cannot be used or the cache cannot be written.
        """
        index = self.root / "index" / f"{digest(str(FORMAT), *source.identity())}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # the index only spares work
            known = self._open(json.loads(index.read_text("utf-8"))["key"], source.source)
            if known is not None:
                return known
        key = source.key()
        data = self._open(key, source.source) or self._build(key, source)
        with suppress(OSError):  # a cache that others filled may be read-only
            index.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(index, json.dumps({"key": key, "source": source.source}))
        return data

    def _open(self, key: str, source: str) -> Data | None:
        """An intact entry, or None: an entry that is damaged counts as absent."""
        entry = self.root / key
        try:
            meta = json.loads((entry / "meta.json").read_text("utf-8"))
            array = np.load(entry / "array.npy", mmap_mode="r", allow_pickle=False)
            labels = np.load(entry / "labels.npy", allow_pickle=False) if meta["labels"] else None
            intact = (
                meta["format"] == FORMAT
                and list(array.shape) == meta["shape"]
                and str(array.dtype) == meta["dtype"]
                and (entry / "array.npy").stat().st_size == array.offset + array.nbytes
                and (labels is None or labels.shape == (len(array),))
            )
            if not intact:
                return None
            return Data(
                source=source,
                kind=meta["kind"],
                array=array,
                labels=labels,
                classes=tuple(meta["classes"]),
                fingerprint=key,
                skipped=tuple(meta["skipped"]),
                center=_column(meta["center"]),
                scale=_column(meta["scale"]),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    def _build(self, key: str, source: Source) -> Data:
        partial = self.root / f".{key}.partial"
        with self._writable():
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{key}.lock"):
                # Another process may have built it while this one waited. And since nobody else builds it now, whatever
                # lies there is what a killed process left.
                if (data := self._open(key, source.source)) is not None:
                    return data
                for remains in (partial, self.root / key):
                    shutil.rmtree(remains, ignore_errors=True)
                try:
                    partial.mkdir()
                    self._fill(partial, source)
                    # A lock may be worth nothing on a network disk. Then the first to finish wins.
                    with suppress(OSError):
                        partial.rename(self.root / key)
                    sync(self.root)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        data = self._open(key, source.source)
        if data is None:
            raise DataError(f"{self.root / key}: the entry was damaged while it was written; remove it and try again")
        return data

    def _fill(self, directory: Path, source: Source) -> None:
        record = source.write(directory / "array.npy")
        array = np.load(directory / "array.npy", mmap_mode="r", allow_pickle=False)
        if record.labels is not None:
            np.save(directory / "labels.npy", record.labels)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "source": source.source,
            "kind": record.kind,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "labels": record.labels is not None,
            "classes": record.classes,
            "skipped": record.skipped,
            "center": None if record.center is None else record.center.tolist(),
            "scale": None if record.scale is None else record.scale.tolist(),
        }
        (directory / "meta.json").write_text(json.dumps(meta, indent=1), "utf-8")
        for file in directory.iterdir():
            sync(file)
        sync(directory)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.root.parent}: the cache directory cannot be written ({error.strerror or error}); "
                "set POISE_CACHE to a directory that can"
            ) from error


def _column(values: list[float] | None) -> NDArray[np.float32] | None:
    return None if values is None else np.array(values, dtype=np.float32)
