"""Tables as lines of text."""

from collections.abc import Collection, Iterator, Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], right: Collection[str]) -> Iterator[str]:
    """Rows, the first of which is the header, in columns; Rich would take longer to load than all else here."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(rows[0], row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()
