"""JSON lines."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from poise.files import write_atomic

__all__ = ["JsonLines", "read_rows", "row_of"]

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; none where there is no file. A last line that was cut short is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    rows = (row_of(line) for line in lines)
    return [row for row in rows if row is not None]


def row_of(line: str) -> Row | None:
    """The row that a line holds, if it is one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _line(row: Mapping[str, Any]) -> str:
    # JSON has no NaN and no infinity.
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
    return json.dumps(finite) + "\n"


class JsonLines:
    """A JSON-lines file that rows are appended to. Each row is with the system at once, so a killed process loses none.

    Args:
        path: the file; made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row. A float that is not finite becomes null."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))

    def keep_only(self, keep: Callable[[Row], bool]) -> int:
        """Drop the rows that ``keep`` does not want, and a last line that was cut short; return how many rows went."""
        if not self.path.exists():
            return 0
        rows = read_rows(self.path)
        kept = [row for row in rows if keep(row)]
        content = "".join(map(_line, kept))
        if content != self.path.read_text(encoding="utf-8", errors="replace"):
            write_atomic(self.path, content)
        return len(rows) - len(kept)
