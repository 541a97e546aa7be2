"""The results as Markdown whose columns are aligned, so that it reads well as it is too."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["case", "head", "table"]

_COLUMNS = ("training", "ms a step", "times as fast as plain", "over inlined", "peak MiB", "roofline")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is aligned to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            f"{cell:<{width}}" if not number else f"{cell:>{width}}"
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    return "\n".join([line(columns), f"|{'|'.join(rule)}|", *(line(row) for row in rows)])


def head(report: Mapping[str, Any]) -> str:
    """The machine, what is installed, and the machine's best rates."""
    about = report["about"]
    where = f"{about['gpu'] or about['cpu']}, {about['cores']} cores, {about['threads']} threads"
    what = f"torch {about['torch']}, Python {about['python']}, poise {about['poise']} at {about['commit']}"
    rows = [
        [precision, *(f"{rates[kind]:,.0f}" for kind in ("products", "convolutions"))]
        for precision, rates in report["gflop_per_s"].items()
    ]
    return f"{where}; {what}\n\n" + table(("GFLOP/s", "matrix product", "convolution"), rows)


def case(result: Mapping[str, Any]) -> str:
    """One case: its trainings, and below what is to be said of them."""
    rounds = f"medians over {result['taken_rounds']} of {result['rounds']} rounds"
    title = f"({result['case']}) {result['what']}: {result['gflop_a_step']:.3g} GFLOP a step, {rounds}"
    lines = [title, "", table(_COLUMNS, [_row(row) for row in result["rows"]])]
    notes = [f"{row['name']}: {row['skipped']}" for row in result["rows"] if "skipped" in row]
    notes += [result["failed"]] if "failed" in result else []
    notes += result["notes"]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def _row(row: Mapping[str, Any]) -> list[str]:
    if "skipped" in row:
        return [row["name"], *["—"] * (len(_COLUMNS) - 1)]
    return [
        row["name"],
        _spread(row["ms"], ".3g"),
        _spread(row["ratio"], ".2f"),
        _spread(row["over_inlined"], "+.1%") if "over_inlined" in row else "",
        f"{row['peak_bytes'] / 2**20:,.0f}" if "peak_bytes" in row else "",
        f"{row['roofline']:.0%}",
    ]


def _spread(quartiles: Sequence[float], form: str) -> str:
    """The median, and the quartiles beside it."""
    lower, median, upper = quartiles
    return f"{median:{form}} ({lower:{form}} to {upper:{form}})"
