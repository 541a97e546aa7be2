"""The board's server."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from poise.board.address import is_loopback, listen
from poise.board.shelf import Shelf
from poise.errors import MissingExtraError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["serve"]

_LOOK_SECONDS = 1.0


def serve(root: Path, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the board until its terminal or a signal ends it.

    Args:
        root: the directory of runs.
        host: the address to listen on.
        port: the port; where it is taken, the next free one.
        say: called with what a person should read, the address among it.

    Raises:
        MissingExtraError: when Starlette, uvicorn or Plotly is not installed.
        RunError: when ``root`` is no directory of runs, or the address cannot be listened on.
    """
    try:
        import uvicorn

        from poise.board.app import app_of
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the board needs the '{error.name}' package: pip install 'poise[board]'") from error
    shelf = Shelf(root)
    app = app_of(shelf, host)
    listening = listen(host, port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with listening, _ending(server):
        for line in _greeting(root, host, port, listening.getsockname()[1]):
            say(line)
        server.run(sockets=[listening])
    shelf.close()


@contextmanager
def _ending(server: "uvicorn.Server") -> Iterator[None]:
    """End the server, without a trace on the terminal, on Ctrl-C, SIGTERM, SIGHUP, or when the terminal is gone."""

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn would raise the signal again once it has ended.
    server.capture_signals = nullcontext  # type: ignore[assignment, method-assign]
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored from the beginning, as by nohup, is meant to be.
    before = {number: signal.signal(number, end) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    over = threading.Event()
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_watch_terminal, args=(sys.stdin.fileno(), end, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_terminal(terminal: int, end: Callable[[], None], over: threading.Event) -> None:
    """Call ``end`` when a terminal is gone: not every program that has one closed is told by a signal."""
    while not over.wait(_LOOK_SECONDS):
        if not os.isatty(terminal):
            end()
            return


def _greeting(root: Path, host: str, port: int, taken: int) -> Iterator[str]:
    if port and taken != port:
        yield f"Port {port} is taken."
    shown = f"[{host}]" if ":" in host else host
    yield f"The runs in {root}/ are at http://{shown}:{taken}/ until Ctrl-C"
    if not is_loopback(host):
        yield "Warning: whoever reaches this address can look at all runs there, and stop them"
