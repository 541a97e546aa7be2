"""Evaluations, and the best checkpoint."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from poise.hooks.save import Save
from poise.runs import JsonLines, read_rows
from poise.trainer import Hook, Trainer

__all__ = ["Evaluate"]


class Evaluate(Hook):
    """Scores the averaged generator every so many images, writes ``metrics.jsonl``, and keeps the best checkpoint.

    Args:
        rows: the file.
        score: gives the metrics of a trainer by name.
        metric: the one that tells which checkpoint is best; lower is better.
        every_kimg: thousands of real images between two evaluations.
        save: saves the checkpoint of a new best.
    """

    def __init__(
        self,
        rows: JsonLines,
        score: Callable[[Trainer], dict[str, Any]],
        metric: str,
        every_kimg: float,
        save: Save,
    ) -> None:
        self._rows = rows
        self._score = score
        self._metric = metric
        self._every = 1000 * every_kimg
        self._evaluated: float = 0
        self._evaluated_step = -1
        self._save = save
        self._best: float | None = None

    def start(self, trainer: Trainer) -> None:
        """Go on from the rows that stand."""
        self._evaluated = trainer.nimg // self._every
        self._rows.keep_only(lambda row: not row.get("partial"))
        rows = read_rows(self._rows.path)
        self._evaluated_step = rows[-1]["step"] if rows else -1
        checkpoints = self._save.checkpoints
        best = checkpoints.best()
        self._best = best.best["value"] if best is not None and best.best is not None else None
        # A killed process may have saved the checkpoint of a new best, and not have marked it.
        saved = {checkpoint.step for checkpoint in checkpoints.all()}
        for row in rows:
            if row["step"] in saved and self._is_better(row.get(self._metric)):
                self._mark(row["step"], row[self._metric])

    def _is_better(self, value: float | None) -> bool:
        return value is not None and isfinite(value) and (self._best is None or value < self._best)

    def _mark(self, step: int, value: float) -> None:
        self._best = value
        self._save.checkpoints.mark_best(step, self._metric, value)

    def after_step(self, trainer: Trainer) -> None:
        """Evaluate when it is time."""
        if trainer.nimg // self._every > self._evaluated:
            self._evaluated = trainer.nimg // self._every
            self._evaluate(trainer, {})

    def end(self, trainer: Trainer) -> None:
        """Evaluate the last step, which may be the best."""
        if trainer.steps != self._evaluated_step:
            self._evaluate(trainer, {"partial": True})

    def _evaluate(self, trainer: Trainer, marks: dict[str, Any]) -> None:
        self._evaluated_step = trainer.steps
        row = {"step": trainer.steps, "nimg": trainer.nimg} | self._score(trainer) | marks
        self._rows.append(row)
        if self._is_better(row[self._metric]):
            self._save.save(trainer)
            self._mark(trainer.steps, row[self._metric])
