"""Noticing that another process has ended or hangs, also where a collective would wait for it without end."""

import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta

from torch._C._distributed_c10d import Store, TCPStore

__all__ = ["Heartbeat"]

_PERIOD_SECONDS = 2.0
_PATIENCE = 10
_ANSWER = timedelta(seconds=10)
_WORD = timedelta(seconds=2)
_GONE, _SAID = "poise/gone", "poise/said"


class Heartbeat:
    """Counts in a store that all processes share, and ends this process when another one no longer counts.

    A thread of its own does so, whatever the main one waits for. Each process watches the next one and tells all, so
    that what the store is asked grows with the number of processes, and not with its square. Periods are counted, not
    seconds: a machine that sleeps, or processes that are all suspended, go on as if nothing had been.

    Args:
        rank: the number of this process.
        size: how many there are.
        store: what they share; if none is given, a connection of its own to the store by which they joined.
        gone: what is done when a process is gone, given what to say; ends this process if none is given.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        store: Store | None = None,
        gone: Callable[[str], None] | None = None,
    ) -> None:
        self._rank, self._size = rank, size
        self._store = store
        self._gone = gone or _end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poise-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        if self._size > 1:
            self._store = self._store or TCPStore(
                os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_ANSWER
            )
            self._thread.start()

    def stop(self) -> None:
        """Take leave: a process that has ended its work is missed by nobody."""
        if self._thread.is_alive() and self._store is not None:
            self._over.set()
            self._thread.join()
            try:
                self._store.set(_key(self._rank), "over")
            except RuntimeError:  # the store has gone with the process that holds it, whose work is over too
                return

    def is_said_by_first(self) -> bool:
        """Whether the first process is there to say what has happened; it lets the others know by this."""
        if self._store is None:
            return False
        try:
            if not self._rank:
                self._store.set(_SAID, "")
                return False
            self._store.wait([_SAID], _WORD)
        except RuntimeError:  # nobody answers
            return False
        return True

    def _run(self) -> None:
        assert self._store is not None
        watched = (self._rank + 1) % self._size
        before, missed, beats = b"", 0, 0
        while not self._over.wait(_PERIOD_SECONDS):
            beats += 1
            try:
                self._store.set(_key(self._rank), str(beats))
                if self._store.check([_GONE]):
                    self._gone(self._store.get(_GONE).decode())
                    return
                # One that has not begun to count is still preparing, and is waited for by the collectives.
                count = self._store.get(_key(watched)) if self._store.check([_key(watched)]) else b""
                missed = missed + 1 if count == before and count not in (b"", b"over") else 0
                before = count
                if missed == _PATIENCE:
                    seconds = _PATIENCE * _PERIOD_SECONDS
                    why = f"process {watched} of {self._size} has given no sign of life for {seconds:g} seconds"
                    self._store.set(_GONE, why)
            except RuntimeError as error:
                if not self._over.is_set():
                    self._gone(f"the process that the others met by is gone ({str(error).splitlines()[0][:120]})")
                return


def _key(rank: int) -> str:
    return f"poise/alive/{rank}"


def _end(why: str) -> None:
    """End at once: the main thread may wait for what never comes. Files are written as a whole or not at all."""
    print(
        f"error: {why}; this training ends, and its last checkpoint is good: the same command goes on from it",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
