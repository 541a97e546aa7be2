"""Sample pictures, few and small enough for a page."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["embedded"]

# A picture is drawn anew where it is longer or larger than this.
_SIDE_PIXELS = 1280
_BYTES = 200_000

_QUALITY = 85


def embedded(path: Path) -> str | None:
    """A picture as a ``data:`` URL: as it is, or where it is large, smaller and compressed.

    None where the file is no whole picture.
    """
    from PIL import Image

    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            image.load()
            if len(content) <= _BYTES and max(image.size) <= _SIDE_PIXELS:
                return _url("png", content)
            return _url("webp", _small(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises of damaged files
        return None


def _small(image: "Image") -> bytes:
    picture = image.convert("RGB")
    picture.thumbnail((_SIDE_PIXELS, _SIDE_PIXELS))
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
