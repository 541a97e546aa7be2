"""From what a person gives to data: the one place that tells the kinds of sources apart."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poise.data import archive, array
from poise.data.array import ArrayFile, from_array
from poise.data.builtin import BUILTIN
from poise.data.cache import Cache, Source, cache_directory
from poise.data.dataset import Data
from poise.data.files import Folder
from poise.data.hub import PREFIX, Hub
from poise.data.parallel import Progress
from poise.data.picture import check_size
from poise.data.prepare import Pictures
from poise.errors import DataError, nearest

__all__ = ["load"]

_FILES: tuple[tuple[tuple[str, ...], Callable[[Path, int | None, Progress | None], Source]], ...] = (
    (archive.SUFFIXES, lambda path, size, progress: Pictures(archive.archive(path), size, progress)),
    (array.SUFFIXES, ArrayFile),
)

_ALLOWED = (
    f"data is a built-in name ({', '.join(BUILTIN)}), a folder of images, an archive ({', '.join(archive.SUFFIXES)}), "
    f"an array file ({', '.join(array.SUFFIXES)}), or {PREFIX}owner/name"
)


def load(
    source: str | Path | NDArray[Any] | torch.Tensor,
    *,
    size: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Data:
    """Load data of any kind, prepared for training.

    Image files are decoded once and kept in a cache, as are array files; the next load maps them into memory. With
    several processes, let one load first, and the others find its work.

    Args:
        source: a built-in name (see ``BUILTIN``); a folder of images; an archive of images (``.zip``, ``.tar``,
            ``.tar.gz``, ``.tgz``, ``.tar.xz``); an array file (``.npy``, ``.npz``); ``hf:owner/name``, a data set of
            the Hugging Face hub; or an array or a tensor itself, vectors ``(n, d)`` or pictures ``(n, h, w)``,
            ``(n, h, w, c)`` or ``(n, c, h, w)``.
        size: the side of the square pictures, in pixels: a power of two from 8 to 1024. By default the largest that is
            not above the median short side of the pictures, from 8 to 64. Vectors have none.
        cache: the cache directory; by default ``$POISE_CACHE``, ``$XDG_CACHE_HOME/poise`` or ``~/.cache/poise``.
        progress: ``progress(iterable, total)`` wraps the iterable that long work runs over, to show how far it is. It
            is called for every pass, and not for those whose length is not known before.

    Raises:
        DataError: when the source does not exist, cannot be read or used, or the size is not allowed.
        MissingExtraError: when ``hf:`` is used and ``datasets`` is not installed.
    """
    check_size(size)
    if isinstance(source, torch.Tensor):
        values = source.detach().cpu()
        source = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(source, np.ndarray):
        title = f"array {source.shape} of {source.dtype}"
        return from_array(source, size, title, progress=progress)
    if isinstance(source, str) and source in BUILTIN:
        return BUILTIN[source](size)
    return Cache(cache_directory(cache)).fetch(_prepared(source, size, progress))


def _prepared(source: str | Path, size: int | None, progress: Progress | None) -> Source:
    if isinstance(source, str) and source.startswith(PREFIX):
        return Pictures(Hub(source.removeprefix(PREFIX)), size, progress)
    path = Path(source).expanduser()
    if path.is_dir() and source != "":
        # Settings name the data by its source, and by that name a built-in one would be loaded.
        return Pictures(Folder(path, f".{os.sep}{path}" if str(source) in BUILTIN else str(source)), size, progress)
    known = [make for suffixes, make in _FILES if path.name.lower().endswith(suffixes)]
    if path.is_file():
        if not known:
            raise DataError(f"{source}: a file of this kind is not data; {_ALLOWED}")
        return known[0](path, size, progress)
    if known or isinstance(source, Path) or os.sep in source or "/" in source:
        raise DataError(f"{source}: the path does not exist (looked for {path.absolute()}); {_ALLOWED}")
    raise DataError(f"there is no data named '{source}' {nearest(source, BUILTIN)}, and no such file; {_ALLOWED}")
