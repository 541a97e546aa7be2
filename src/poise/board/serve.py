"""The board's server."""

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from poise.board.shelf import Shelf
from poise.errors import MissingExtraError, RunError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["serve"]

# So many ports are tried, one after the other.
_TRIES = 100

_LOOK_SECONDS = 1.0

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
    listening = _listen(host, port)
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
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    over = threading.Event()
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_watch_terminal, args=(sys.stdin.fileno(), end, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


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
    if host not in _LOOPBACK:
        yield "Warning: whoever reaches this address can look at all runs there, and stop them"


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the first port that is free."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise RunError(f"--host {host} is no address of this machine: {error}") from error
    for candidate in range(port, min(port + _TRIES, 65536)):
        listening = socket.socket(family)
        if os.name == "posix":  # elsewhere it would share the port with its owner
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address[0], candidate))
            listening.listen()
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:
                raise RunError(f"{host}:{candidate} cannot be listened on: {error.strerror}") from error
        else:
            return listening
    raise RunError(f"no port from {port} to {port + _TRIES - 1} is free; give another --port")
