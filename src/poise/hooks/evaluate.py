"""Evaluations, and the best checkpoint."""

import warnings
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from poise.diagnosis import how_measured
from poise.errors import NonFiniteError, PeerError
from poise.hooks.save import Save
from poise.hooks.stops import INTERRUPTIONS
from poise.runs import JsonLines, read_rows
from poise.trainer import Hook, Trainer

__all__ = ["Evaluate"]


def _warn(error: Exception) -> None:
    warnings.warn(f"the evaluation failed: {error}", stacklevel=2)


class Evaluate(Hook):
    """Scores the averaged generator every so many images, writes ``metrics.jsonl``, and keeps the best checkpoint.

    Numbers that were measured in different ways (features, counts, seed) are never compared: where the way has changed,
    the first number of the new one is the best so far.

    An evaluation that fails does not end the training: it writes no row, and ``failed`` is told.

    Of several processes all score, as each may do a share of the work; the first one writes.

    Args:
        rows: the file.
        score: gives the metrics of a trainer by name, and how they were measured.
        metric: the one that tells which checkpoint is best.
        every_kimg: thousands of real images between two evaluations.
        save: saves the checkpoint of a new best.
        higher_is_better: whether the metric is better high.
        failed: called with what an evaluation raised; warns if none is given.
        seen: called with each new row.
    """

    def __init__(
        self,
        rows: JsonLines,
        score: Callable[[Trainer], dict[str, Any]],
        metric: str,
        every_kimg: float,
        save: Save,
        *,
        higher_is_better: bool = False,
        failed: Callable[[Exception], None] = _warn,
        seen: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> None:
        self._rows = rows
        self._score = score
        self._metric = metric
        self._sign = -1 if higher_is_better else 1
        self._every = 1000 * every_kimg
        self._evaluated: float = 0
        self._evaluated_step = -1
        self._save = save
        self._failed = failed
        self._seen = seen
        self._best: Mapping[str, Any] | None = None

    def start(self, trainer: Trainer) -> None:
        """Go on from the rows that stand."""
        self._evaluated = trainer.nimg // self._every
        if trainer.world.is_first:
            self._go_on()
        self._evaluated_step = trainer.world.of_first(self._evaluated_step)

    def _go_on(self) -> None:
        self._rows.keep_only(lambda row: not row.get("partial"))
        rows = read_rows(self._rows.path)
        self._evaluated_step = rows[-1]["step"] if rows else -1
        checkpoints = self._save.checkpoints
        best = checkpoints.best()
        self._best = best.best if best is not None else None
        # A killed process may have saved the checkpoint of a new best, and not have marked it.
        saved = {checkpoint.step for checkpoint in checkpoints.live()}
        for row in rows:
            if row["step"] in saved and how_measured(row) == how_measured(rows[-1]) and self._is_better(row):
                self._mark(row)

    def _is_better(self, row: Mapping[str, Any]) -> bool:
        value, best = row.get(self._metric), self._best
        if value is None or not isfinite(value):
            return False
        if best is None or best["metric"] != self._metric or how_measured(best) != how_measured(row):
            return True
        return bool(self._sign * value < self._sign * best["value"])

    def _mark(self, row: Mapping[str, Any]) -> None:
        value, how = row[self._metric], how_measured(row)
        self._best = {"metric": self._metric, "value": value, **how}
        self._save.checkpoints.mark_best(row["step"], self._metric, value, how)

    def after_step(self, trainer: Trainer) -> None:
        """Evaluate when it is time."""
        if trainer.nimg // self._every > self._evaluated:
            self._evaluated = trainer.nimg // self._every
            self._evaluate(trainer, {})

    def end(self, trainer: Trainer) -> None:
        """Evaluate the last step, which may be the best; where the process was asked to leave, save it first."""
        if trainer.stop_reason in INTERRUPTIONS and trainer.world.is_first:
            self._save.save(trainer)
        if trainer.steps != self._evaluated_step:
            self._evaluate(trainer, {"partial": True})

    def _evaluate(self, trainer: Trainer, marks: dict[str, Any]) -> None:
        self._evaluated_step = trainer.steps
        try:
            scores = self._score(trainer)
        except (NonFiniteError, PeerError):  # it is the training that failed
            raise
        except Exception as error:  # whatever it is, the training is worth more than the number
            self._failed(error)
            return
        if not trainer.world.is_first:
            return
        row = {"step": trainer.steps, "nimg": trainer.nimg} | scores | marks
        self._rows.append(row)
        self._seen(row)
        if self._is_better(row):
            self._save.save(trainer)
            self._mark(row)
