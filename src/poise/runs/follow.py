"""Files of rows, as they grow."""

from pathlib import Path
from typing import Any, NamedTuple

from poise.runs.rows import row_of

__all__ = ["Follower", "News"]

# So many of the bytes that were read are looked at again.
_SEEN_BYTES = 256


class News(NamedTuple):
    """What a look brought.

    Attributes:
        rows: the rows that are new.
        afresh: whether they replace all rows that were seen before.
    """

    rows: list[dict[str, Any]]
    afresh: bool


class Follower:
    """The rows that a JSON-lines file gained since the last look, of which only the new part is read.

    A run that goes on drops rows and rewrites its files. So the last bytes that were read are compared first; where
    they are no longer there, or the file is gone, all is read afresh.

    Args:
        path: the file, which may come later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._seen = b""
        self._stamp: tuple[int, int] | None = None

    def look(self) -> News:
        """The rows that were written since the last look. A last line that is not complete yet waits for the next."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            afresh, self._offset, self._seen, self._stamp = self._offset > 0, 0, b"", None
            return News([], afresh)
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return News([], False)
        with self.path.open("rb") as file:
            file.seek(max(self._offset - len(self._seen), 0))
            afresh = file.read(len(self._seen)) != self._seen
            if afresh:
                self._offset, self._seen = 0, b""
                file.seek(0)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        self._seen = (self._seen + complete)[-_SEEN_BYTES:]
        self._stamp = stamp
        rows = (row_of(line) for line in complete.decode(errors="replace").split("\n"))
        return News([row for row in rows if row is not None], afresh)
