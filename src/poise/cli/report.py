"""``poise report``: pages of runs. It loads no torch."""

from pathlib import Path

import typer

from poise.cli.doctor import record_of
from poise.files import write_atomic

__all__ = ["report"]


def report(
    runs: list[str] | None = typer.Argument(
        None, metavar="[RUN]...", help="Runs by name or path; several are compared; the newest if left out."
    ),
    out: Path | None = typer.Option(
        None,
        "-o",
        "--out",
        help="The file to write; left out, report.html in the run, or in this directory where runs are compared.",
        show_default=False,
    ),
) -> None:
    """Write one HTML page of a run, or of several beside each other: verdict, samples, curves, scores, settings."""
    from poise.report.html import render

    records = [record_of(run) for run in runs] if runs else [record_of(None)]
    only = records[0] if len(records) == 1 else None
    if out is None:
        out = Path("report.html") if only is None or only.run is None else only.path / "report.html"
    write_atomic(out, render(records))
    about = records[0].name if only else f"{len(records)} runs"
    typer.echo(f"A page of {about} in {out}; open it in a browser")
