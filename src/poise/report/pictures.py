"""Sample pictures: those that show a finding, and any, small enough for a page."""

from base64 import b64encode
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from poise.diagnosis import Finding
from poise.report.record import Record

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["embedded", "picture_of", "step_that_shows"]

# What one sees in the samples themselves.
_SEEN = frozenset(
    {
        "augmentation_leak",
        "checkerboard",
        "discriminator_wins",
        "generator_wins",
        "memorization",
        "mode_collapse",
        "no_progress",
        "past_best",
        "range_mismatch",
        "saturated_output",
    }
)

# A picture is drawn anew where it is longer or larger than this.
_SIDE_PIXELS = 1280
_BYTES = 200_000

_QUALITY = 85


def step_that_shows(finding: Finding, steps: Iterable[int]) -> int | None:
    """The first of the pictures' steps at which a finding is there to be seen, if it is one that samples show."""
    if finding.kind not in _SEEN:
        return None
    end = finding.last_step if finding.ended else float("inf")
    return min((step for step in steps if finding.since_step <= step <= end), default=None)


def picture_of(record: Record, finding: Finding) -> Path | None:
    """The picture of samples that shows a finding, where there is one."""
    pictures = record.run.pictures() if record.run else {}
    step = step_that_shows(finding, pictures)
    return None if step is None else pictures[step]


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
