"""The terminal: progress bars where a person looks, plain lines in a pipe."""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from poise.errors import ConfigError

__all__ = ["console", "preparing", "track", "writing"]


class _Console(Console):
    """A console that a training outlives: when its reader goes away, as with ``| head``, it falls silent."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if self.stderr else sys.stdout).fileno())


def console(aside: bool = False, quiet: bool = False) -> Console:
    """Where a verb talks to a person.

    Text is printed as it is: names and paths may hold brackets and colons.

    Args:
        aside: whether standard output carries a result, so that talk goes to standard error.
        quiet: whether nothing is to be said, as another process says it.
    """
    return _Console(stderr=aside, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def preparing(quiet: bool = False) -> Iterator[None]:
    """Show a spinner while libraries load, where a person is looking."""
    stream = Console(stderr=True)
    with _uncollected():
        if quiet or not stream.is_terminal:
            yield
            return
        with stream.status("loading"):
            yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what a person gave, and not a temporary file, where it cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}; give another path") from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from what libraries load, now and later.

    All of it stays to the end. Looking it through again and again is a fifth of the time that torch takes to load, and
    each full collection of a training would be a tenth of a second longer.
    """
    if "torch" in sys.modules or not gc.isenabled():  # nothing much is going to be loaded, and garbage may be about
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def track(what: str, stream: Console) -> Any:
    """A ``progress(iterable, total)`` for preparing data: a bar a pass for a person, one line for all in a pipe."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    is_said = False

    def progress(items: Iterable[Any], total: int) -> Iterator[Any]:
        nonlocal is_said
        if not stream.is_terminal:
            if not is_said:
                stream.print(what)
            is_said = True
            yield from items
            return
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=stream, transient=True) as bar:
            yield from bar.track(items, total=total, description=what)

    return progress
