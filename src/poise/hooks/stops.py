"""What ends a training early, with its work saved."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from poise.trainer import Hook, Trainer

__all__ = ["INTERRUPTIONS", "POLL_SECONDS", "Stops"]

_CTRL_C = "Ctrl-C"

INTERRUPTIONS = (_CTRL_C, signal.SIGTERM.name)
"""Reasons of a stop that say nothing about the training: the process was asked to leave."""

# How often a request file is looked for.
POLL_SECONDS = 0.5


class Stops(Hook):
    """Ends training after the current step on Ctrl-C, SIGTERM, a request file, or a time limit.

    A second Ctrl-C ends the process at once; SIGTERM, which schedulers send again and again, does not.

    Args:
        request: the file whose presence asks for a stop; removed when it is obeyed. None for no such file.
        max_seconds: wall-clock seconds that training may take; None for no limit.
        signals: the signals to obey; the handlers they had are put back at the end.
        say: called once with what a signal brings about.
    """

    def __init__(
        self,
        request: Path | None,
        max_seconds: float | None = None,
        signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._request = request
        self._max_seconds = max_seconds
        self._signals = signals
        self._say = say
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._received: signal.Signals | None = None
        self._has_said = False
        self._t0: float | None = None
        self._polled = 0.0

    def start(self, trainer: Trainer) -> None:
        """Begin to listen; the time that may be taken counts from the first of several ``fit``."""
        self._polled = time.monotonic()
        if self._t0 is not None:
            return
        self._t0 = self._polled
        for number in self._signals:
            self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            self.release()
            signal.raise_signal(number)
        self._received = self._received or signal.Signals(number)

    def after_step(self, trainer: Trainer) -> None:
        """Stop if something asks for it."""
        if self._received is not None:
            reason = _CTRL_C if self._received is signal.SIGINT else self._received.name
            trainer.stop(reason)
            if not self._has_said:  # processes agree on a stop only a step later
                self._say(f"{reason}: saving, then evaluating; Ctrl-C to end at once")
            self._has_said = True
        now = time.monotonic()
        if self._max_seconds is not None and self._t0 is not None and now - self._t0 >= self._max_seconds:
            trainer.stop(f"--max-seconds {self._max_seconds:g}")
        if self._request is not None and now - self._polled >= POLL_SECONDS:
            self._polled = now
            if self._request.exists():
                self._request.unlink(missing_ok=True)
                trainer.stop("poise stop")

    def release(self) -> None:
        """Put back the signal handlers that there were."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
