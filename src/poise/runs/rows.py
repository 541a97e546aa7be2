"""JSON lines."""

import json
import math
from collections.abc import Callable, Mapping
from os import SEEK_END
from pathlib import Path
from typing import Any

from poise.files import naming, write_atomic

__all__ = ["JsonLines", "finite", "last_row", "number", "read_rows", "row_of"]

_BLOCK = 1 << 16

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; none where there is no file. A last line that was cut short is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    rows = (row_of(line) for line in lines)
    return [row for row in rows if row is not None]


def last_row(path: Path) -> Row:
    """The last whole row of a JSON-lines file, or an empty one; only the end of the file is read."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return {}
    with file:
        end = file.seek(0, SEEK_END)
        length = 0
        while length < end:
            length = min(2 * length or _BLOCK, end)
            file.seek(end - length)
            lines = file.read(length).decode(errors="replace").split("\n")
            whole = lines if length == end else lines[1:]
            for line in reversed(whole):
                row = row_of(line)
                if row is not None:
                    return row
    return {}


def number(value: Any, otherwise: float | None = None) -> Any:
    """``value`` if it is a number that can be reckoned with, else ``otherwise``."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
    return value if is_number else otherwise


def finite(value: Any) -> Any:
    """A JSON value with null for what JSON has no word for: NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(it) for name, it in value.items()}
    return [finite(it) for it in value] if isinstance(value, list | tuple) else value


def row_of(line: str) -> Row | None:
    """The row that a line holds, if it is one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(finite(row)) + "\n"


class JsonLines:
    """A JSON-lines file that rows are appended to. Each row is with the system at once, so a killed process loses none.

    Args:
        path: the file; made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row. A float that is not finite becomes null."""
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
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
