"""The log: one row a tick."""

from collections.abc import Callable
from typing import Any

from poise.runs import JsonLines, read_rows
from poise.trainer import Hook, Trainer

__all__ = ["Log"]

Row = dict[str, Any]


class Log(Hook):
    """Writes ``log.jsonl``: means over the steps since the last tick, read from the device at once.

    A row has ``step``, ``nimg``, ``seconds`` (of training, wall clock), the numbers, how often each player moved so far
    (``d_updates``, ``g_updates``), ``img_per_s`` (real images a second of wall clock since the last tick, all costs
    included) and ``data_wait`` (the share of that time in which training waited for real batches). Where training
    ends between two ticks, a row marked ``partial`` says how far it came; going on replaces it, so that the log of a
    run never depends on where it was interrupted.

    Args:
        rows: the file.
        every_steps: steps a tick.
        seen: called with each new row.
    """

    def __init__(self, rows: JsonLines, every_steps: int, seen: Callable[[Row], None] = lambda row: None) -> None:
        self._rows = rows
        self._every = every_steps
        self._seen = seen
        self._last: tuple[int, float] = (0, 0.0)
        self._waited = 0.0

    def start(self, trainer: Trainer) -> None:
        """Go on from the last row that stands."""
        self._rows.keep_only(lambda row: not row.get("partial"))
        rows = read_rows(self._rows.path)
        self._last = (rows[-1]["nimg"], rows[-1]["seconds"]) if rows else (0, 0.0)
        self._waited = trainer.waited

    def after_step(self, trainer: Trainer) -> None:
        """Write a row at a tick."""
        if trainer.steps % self._every == 0:
            self._write(trainer, {})
            trainer.meters.clear()

    def end(self, trainer: Trainer) -> None:
        """Write what came after the last tick."""
        if trainer.steps % self._every:
            self._write(trainer, {"partial": True})

    def _write(self, trainer: Trainer, marks: Row) -> None:
        nimg, seconds = self._last
        now = trainer.seconds
        row: Row = {"step": trainer.steps, "nimg": trainer.nimg, "seconds": round(now, 3)}
        row |= trainer.read()
        row |= {f"{role.lower()}_updates": count for role, count in trainer.updates.items()}
        elapsed, waited = max(now - seconds, 1e-9), trainer.waited
        row |= {"img_per_s": round((trainer.nimg - nimg) / elapsed, 1)}
        row |= {"data_wait": round(min((waited - self._waited) / elapsed, 1.0), 4)} | marks
        self._rows.append(row)
        self._seen(row)
        self._last, self._waited = (trainer.nimg, now), waited
