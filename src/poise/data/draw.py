"""Pictures of pictures: a grid of samples, and PNG files that say how they were made."""

from collections.abc import Mapping
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from poise.data.picture import MODES
from poise.errors import DataError
from poise.files import write_atomic

__all__ = ["grid", "save_png"]

_GUTTER = 2
_WHITE, _GRAY = 255, 204
_SQUARE = 8


def grid(images: NDArray[np.uint8], columns: int | None = None, *, min_tile: int = 64) -> Image.Image:
    """Lay pictures out in rows, with white lines of 2 pixels between them.

    Small pictures are enlarged by a whole factor without smoothing, so that every pixel stays to be seen. Transparent
    ones lie on a checker board.

    Args:
        images: ``(n, h, w, c)``, uint8, with 1, 3 or 4 channels.
        columns: pictures a row; by default the grid is as square as it can be.
        min_tile: the least height and width of a tile, in pixels.

    Returns:
        A gray picture (mode L) for one channel, otherwise RGB.

    Raises:
        DataError: when there are no pictures, or the array is not one of pictures, or ``columns`` is below 1.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in MODES or 0 in images.shape:
        raise DataError(
            f"a grid of shape {images.shape} and type {images.dtype}; it needs uint8 (n, h, w, c), with at least one "
            "picture and 1, 3 or 4 channels"
        )
    columns = ceil(sqrt(len(images))) if columns is None else min(columns, len(images))
    if columns < 1:
        raise DataError(f"columns is {columns}; it must be at least 1")
    rows = ceil(len(images) / columns)
    factor = max(1, ceil(min_tile / min(images.shape[1:3])))
    tiles = images.repeat(factor, axis=1).repeat(factor, axis=2)
    if tiles.shape[3] == 4:
        tiles = _on_checker(tiles)
    _, height, width, channels = tiles.shape
    down, across = height + _GUTTER, width + _GUTTER
    sheet = np.full((rows * down - _GUTTER, columns * across - _GUTTER, channels), _WHITE, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet[row * down : row * down + height, column * across : column * across + width] = tile
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)


def _on_checker(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay RGBA tiles ``(n, h, w, 4)`` on a checker board, giving RGB."""
    down, across = np.indices(tiles.shape[1:3]) // _SQUARE
    board = np.where((down + across) % 2 == 0, _WHITE, _GRAY)[None, :, :, None]
    alpha = tiles[..., 3:] / 255
    return np.rint(tiles[..., :3] * alpha + board * (1 - alpha)).astype(np.uint8)


def save_png(image: Image.Image, path: str | Path, text: Mapping[str, str] | None = None) -> None:
    """Write a PNG file that is either there as a whole or not at all.

    Args:
        image: the picture.
        path: where; folders above it are made.
        text: what to say in the file, by keyword (``tEXt`` chunks, ``iTXt`` beyond Latin-1).

    Raises:
        OSError: when it cannot be written.
    """
    path = Path(path)
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value.encode(errors="replace").decode())  # a file name may be no text
    content = BytesIO()
    image.save(content, format="PNG", pnginfo=chunks)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
