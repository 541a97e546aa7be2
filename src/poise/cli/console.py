"""The terminal: progress bars where a person looks, plain lines in a pipe."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

__all__ = ["console", "preparing", "track"]


def console(as_json: bool = False) -> Console:
    """Where a verb talks to a person: standard output, or standard error where that carries JSON."""
    return Console(stderr=as_json, highlight=False, soft_wrap=True)


@contextmanager
def preparing(quiet: bool = False) -> Iterator[None]:
    """Show a spinner while libraries load, where a person is looking."""
    stream = Console(stderr=True)
    if quiet or not stream.is_terminal:
        yield
        return
    with stream.status("loading"):
        yield


def track(what: str, stream: Console) -> Any:
    """A ``progress(iterable, total)`` for preparing data: a bar for a person, one line in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def progress(items: Iterable[Any], total: int) -> Iterator[Any]:
        if not stream.is_terminal:
            stream.print(f"{what}: {total:,} items")
            yield from items
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=stream, transient=True) as bar:
            yield from bar.track(items, total=total, description=what)

    return progress
