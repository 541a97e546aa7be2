"""The progress of a training on the terminal."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from poise.trainer import Hook, Trainer

__all__ = ["Progress", "gauge"]

_REFRESH_SECONDS = 0.2
_FIRST_LINE_SECONDS = 1.0
_LINE_SECONDS = 10.0
_FAR = 1e18  # an end as good as none, that floats still reckon with
_SHOWN = {"d_loss": "d_loss", "g_loss": "g_loss", "d_real": "D(real)", "d_fake": "D(fake)"}


def gauge(accuracy: float, width: int = 11) -> str:
    """Who leads, from the share of real-fake pairs that D orders rightly: 0.5 (G leads) to 1 (D leads).

    >>> gauge(0.75, 5)
    'G ··●·· D'
    """
    place = round((min(max(accuracy, 0.5), 1.0) - 0.5) * 2 * (width - 1))
    return f"G {'·' * place}●{'·' * (width - 1 - place)} D"


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``.

    >>> duration(3723), duration(123.4)
    ('1:02:03', '2:03')
    """
    if not seconds < 1e8:
        return "years"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress(Hook):
    """A live line for a person; in a pipe, a plain line with the first numbers and then one every ten seconds.

    Speed and time left are measured by the wall clock over this session, all costs included.

    Args:
        console: where to.
        steps: the end in steps, if there is one.
        kimg: the end in thousands of images, if there is one.
        max_seconds: the time limit of the session, if there is one.
    """

    def __init__(self, console: Console, steps: int | None, kimg: float | None, max_seconds: float | None) -> None:
        self._console = console
        self._steps, self._kimg, self._max_seconds = steps, kimg, max_seconds
        self._numbers: dict[str, Any] = {}
        self._live: Live | None = None
        self._t0 = self._shown = 0.0
        self._first = (0, 0)

    def row(self, row: dict[str, Any]) -> None:
        """Take the numbers of a new row of the log."""
        self._numbers = row

    def start(self, trainer: Trainer) -> None:
        """Begin to measure."""
        self._t0 = self._shown = time.monotonic()
        self._first = (trainer.steps, trainer.nimg)
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def after_step(self, trainer: Trainer) -> None:
        """Show how far it is, when it is time."""
        now = time.monotonic()
        is_first = self._shown == self._t0 and bool(self._numbers)
        pause = _REFRESH_SECONDS if self._live else _FIRST_LINE_SECONDS if is_first else _LINE_SECONDS
        if now - self._shown >= pause:
            self._shown = now
            self._show(trainer)

    def end(self, trainer: Trainer) -> None:
        """Show the last step."""
        self._show(trainer)
        self.close()

    def close(self) -> None:
        """Leave the terminal as it should be, however training ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, trainer: Trainer) -> None:
        if self._live is not None:
            self._live.update(Text("\n".join(self._lines(trainer, 24))), refresh=True)
        else:
            self._console.print("  ".join(self._lines(trainer, 0)))

    def _lines(self, trainer: Trainer, bar: int) -> list[str]:
        elapsed = max(time.monotonic() - self._t0, 1e-9)
        share, left = self._remaining(trainer, elapsed)
        done = round(share * bar)
        where = f"step {trainer.steps:,}" + (f"/{self._steps:,}" if self._steps else "")
        kimg = f"{trainer.nimg / 1000:,.1f}" + (f"/{self._kimg:,g}" if self._kimg else "") + " kimg"
        speed = f"{(trainer.nimg - self._first[1]) / elapsed:,.0f} img/s"
        first = [f"{'━' * done}{'╌' * (bar - done)}"] * bool(bar) + [
            f"{share:.0%}",
            where,
            kimg,
            speed,
            f"{duration(left)} left",
        ]
        second = [f"{label} {self._numbers[name]:.3f}" for name, label in _SHOWN.items() if name in self._numbers]
        if "d_accuracy" in self._numbers:
            second.append(gauge(self._numbers["d_accuracy"]))
        return ["  ".join(first), "  ".join(second)]

    def _remaining(self, trainer: Trainer, elapsed: float) -> tuple[float, float]:
        """The share that is done, and the seconds left at this session's mean speed; whichever end comes first."""
        ends = [
            (now, first, min(_FAR, end))
            for now, first, end in (
                (trainer.steps, self._first[0], self._steps),
                (trainer.nimg, self._first[1], None if self._kimg is None else 1000 * self._kimg),
            )
            if end is not None
        ]
        share = max((now / end for now, _, end in ends), default=0.0)
        lefts = [max(end - now, 0) * elapsed / max(now - first, 1) for now, first, end in ends]
        if self._max_seconds is not None:
            lefts.append(max(self._max_seconds - elapsed, 0.0))
        return min(share, 1.0), min(lefts, default=0.0)
