"""Rows and pictures of a run, passed on to other viewers as they are written."""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from poise.runs import Follower, Run
from poise.trainer import Hook, Trainer

__all__ = ["Mirror", "Sink", "warn"]

Row = Mapping[str, Any]

_LOOK_SECONDS = 1.0


class Sink:
    """Where rows go. Its methods may raise whatever they like.

    Attributes:
        rewrites: whether it begins with nothing each time it is opened, and is given everything again; otherwise it
            is given nothing twice.
        has_history: whether an earlier session gave it what stood then.
    """

    rewrites = True
    has_history = False

    def row(self, kind: str, row: Row) -> None:
        """Take a row of the file ``kind``: ``log``, ``metrics`` or ``watch``."""

    def picture(self, step: int, path: Path) -> None:
        """Take a picture of samples."""

    def flush(self) -> None:
        """Let what was taken be seen."""

    def close(self) -> None:
        """Take no more."""


def warn(name: str, error: Exception) -> None:
    """Tell of a sink that failed."""
    warnings.warn(f"the hook {name} failed, and is off from here on: {error}", stacklevel=2)


class Mirror(Hook):
    """Gives a sink what a run's files say, no more and no less: what a resume or a rollback drops is dropped there too.

    A sink that fails does not end the training: ``failed`` is told, and the sink is left alone from then on.

    Args:
        name: of the sink, for messages.
        run: the run.
        open_: makes the sink, when training begins.
        failed: called with the name and what the sink raised.
    """

    def __init__(
        self, name: str, run: Run, open_: Callable[[], Sink], failed: Callable[[str, Exception], None] = warn
    ) -> None:
        self._name = name
        self._run = run
        self._open = open_
        self._failed = failed
        self._sink: Sink | None = None
        self._followers: dict[str, Follower] = {}
        self._pictures: set[int] = set()
        self._passed: set[bytes] = set()
        self._looked = 0.0

    def start(self, trainer: Trainer) -> None:
        """Open the sink, and give it what stands."""
        self._passed.clear()
        self._pictures.clear()
        self._safely(self._close)  # where an error ended the training before
        self._safely(self._begin)

    def after_step(self, trainer: Trainer) -> None:
        """Pass on what is new, when it is time."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._safely(self._look)

    def end(self, trainer: Trainer) -> None:
        """Pass on the rest."""
        self._safely(self._look)
        self._safely(self._close)

    def _begin(self) -> None:
        self._sink = self._open()
        self._follow()
        if self._sink.has_history:
            for kind, follower in self._followers.items():
                self._passed |= {_digest(kind, row) for row in follower.look().rows}
            self._pictures |= set(self._run.pictures())
        self._look()

    def _follow(self) -> None:
        run = self._run
        files = {"log": run.log, "metrics": run.metrics, "watch": run.probes}
        self._followers = {kind: Follower(file.path) for kind, file in files.items()}

    def _look(self) -> None:
        sink = self._sink
        if sink is None:
            return
        news = {kind: follower.look() for kind, follower in self._followers.items()}
        if any(it.afresh for it in news.values()) and sink.rewrites:
            self._close()
            self._pictures.clear()
            self._begin()
            return
        for kind, (rows, _) in news.items():
            for row in rows:
                self._pass(sink, kind, row)
        for step, path in self._run.pictures().items():
            if step not in self._pictures:
                self._pictures.add(step)
                sink.picture(step, path)
        sink.flush()

    def _pass(self, sink: Sink, kind: str, row: Row) -> None:
        if not sink.rewrites:
            digest = _digest(kind, row)
            if digest in self._passed:
                return
            self._passed.add(digest)
        sink.row(kind, row)

    def _close(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def _safely(self, do: Callable[..., None], *given: Any) -> None:
        try:
            do(*given)
        except Exception as error:  # whatever it is, the training is worth more than a copy of its numbers
            self._sink = None
            self._failed(self._name, error)


def _digest(kind: str, row: Row) -> bytes:
    return blake2b(f"{kind} {json.dumps(row)}".encode(), digest_size=12).digest()
