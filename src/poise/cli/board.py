"""``poise board``: a live page over a folder of runs. It loads no torch."""

from pathlib import Path

import typer

from poise.runs import RUNS

__all__ = ["board"]


def board(
    root: Path = typer.Argument(RUNS, metavar="[RUNS]", help="The directory of runs."),
    host: str = typer.Option(
        "127.0.0.1", help="The address to listen on; others than this one let other machines in, without a password."
    ),
    port: int = typer.Option(8950, min=0, max=65535, help="The port; where it is taken, the next free one."),
) -> None:
    """Show the runs of a directory in a browser, while they train."""
    from poise.board import serve

    serve(root, host, port, typer.echo)
