"""One picture: what its header says, and its way from the bytes of a file to a square of pixels."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from poise.errors import DataError

__all__ = [
    "EXTENSIONS",
    "FOREIGN_EXTENSIONS",
    "MODES",
    "SIZES",
    "Look",
    "UnreadableError",
    "channels",
    "check_size",
    "decode",
    "default_size",
    "fit",
    "look",
    "quiet",
]

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
"""The allowed sides of a picture, in pixels."""

LARGEST_DEFAULT = 64
"""The largest side, in pixels, that is chosen unless the person asks for more."""

EXTENSIONS = ("jpg", "jpeg", "png", "bmp", "webp", "avif", "gif", "tif", "tiff", "ppm", "pgm", "jfif")
"""Files with these extensions are taken for pictures, in lower or upper case."""

FOREIGN_EXTENSIONS = ("heic", "heif", "jxl")
"""So are these, which cannot be read: cameras make them, and no folder shall be half its size without a word."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for each number of channels."""

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "AVIF", "GIF", "TIFF", "PPM")
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


class UnreadableError(Exception):
    """A picture cannot be used; the message is the reason, for the list of skipped files."""


class Look(NamedTuple):
    """What decides about size and channels.

    Attributes:
        short_side: the shorter of width and height, in pixels.
        gray: whether it holds no colour, by its mode, or by its palette.
        transparent: whether some pixel is not fully opaque.
    """

    short_side: int
    gray: bool
    transparent: bool


def check_size(size: int | None) -> None:
    """Refuse a side that is not a power of two between 8 and 1024 pixels.

    Args:
        size: the side that was asked for, or None for the default.

    Raises:
        DataError: when it is not allowed.
    """
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size in SIZES):
        return
    closest = min(SIZES, key=lambda allowed: abs(allowed - size))
    raise DataError(f"size is {size!r}; it must be a power of two from 8 to 1024: the nearest is {closest}")


def default_size(short_sides: Sequence[int]) -> int:
    """The side for pictures of these short sides: the largest power of two not above their median, from 8 to 64.

    Args:
        short_sides: in pixels, at least one.
    """
    return min(max(1 << (int(median(short_sides)).bit_length() - 1), SIZES[0]), LARGEST_DEFAULT)


def channels(looks: Collection[Look]) -> int:
    """The number of channels that keeps all that these pictures hold: 4 with transparency, 1 if all are gray, or 3."""
    if any(seen.transparent for seen in looks):
        return 4
    return 1 if all(seen.gray for seen in looks) else 3


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's remarks about odd files off the terminal, and make its decompression-bomb warning an error.

    Warning filters belong to the process, so enter this in the thread that starts the decoding threads, around them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def look(data: bytes, *, transparency: bool = True) -> Look:
    """Read the header of a picture, and its pixels only where the header leaves the channels open.

    Args:
        data: the bytes of the file.
        transparency: whether to find out about transparency; it may need all pixels. Without, ``transparent`` is False.

    Raises:
        UnreadableError: when the header cannot be read or promises too many pixels.
    """
    with _reasons():
        image = _open(data)
        short_side = min(image.size)
        gray = image.mode in _GRAY_MODES
        alpha = transparency and image.has_transparency_data and not image.mode.startswith("I")
        if not alpha and image.mode != "P":
            return Look(short_side, gray, False)
    try:
        with _reasons():
            pixels = np.asarray(image.convert("RGBA"))
    except UnreadableError:
        # A damaged body is found again, and reported, when the picture is decoded; until then it sways nothing.
        return Look(short_side, gray=True, transparent=False)
    if image.mode == "P":
        gray = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    return Look(short_side, gray, alpha and bool((pixels[..., 3] < 255).any()))


def decode(data: bytes, size: int, channels: int) -> NDArray[np.uint8]:
    """Decode a picture, turn it upright, crop its middle square and resize that.

    Args:
        data: the bytes of the file; of an animation the first frame is taken.
        size: the side of the result, in pixels.
        channels: 1, 3 or 4.

    Returns:
        The pixels, ``(size, size, channels)``.

    Raises:
        UnreadableError: when it cannot be decoded.
    """
    with _reasons():
        image = _open(data)
        # JPEG can be decoded at 1/2, 1/4 or 1/8. Pillow's documentation of reducing_gap: from 3 times the wanted size
        # on, the result is indistinguishable from resampling the whole in most cases.
        image.draft(None, (3 * size, 3 * size))
        ImageOps.exif_transpose(image, in_place=True)
        pixels = np.asarray(fit(_convert(_eight_bits(image), MODES[channels]), size))
    return pixels.reshape(size, size, channels)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Crop the middle square and resize it (Lanczos); a picture that fits already is returned as it is.

    Args:
        image: of mode L, RGB or RGBA.
        size: the side of the result, in pixels.
    """
    width, height = image.size
    if width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    # Pillow premultiplies RGBA by alpha for the resampling, so hidden colours do not bleed into visible edges.
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def _open(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=_FORMATS)
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    if image.mode == "F":
        raise UnreadableError("its pixels are 32-bit floats; save it with 8 or 16 bits")
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits: 65535 becomes 255. Pillow's own conversion clips at 255 instead."""
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise UnreadableError("its pixels are outside the range of 16 bits; save it with 8 or 16 bits")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever Pillow raises on a damaged file into an :class:`UnreadableError`."""
    try:
        yield
    except (UnreadableError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise UnreadableError(f"it has more than {limit} pixels, which may be a decompression bomb") from None
    except UnidentifiedImageError:
        raise UnreadableError("not an image that can be read; save it as PNG or JPEG") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, zlib.error, ... on damaged files
        raise UnreadableError(str(error) or type(error).__name__) from error
