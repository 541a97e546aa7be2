"""Telling the study how a trial does while it trains, and ending it where others were better at the same time."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from poise.errors import StorageError
from poise.hooks import Hook
from poise.runs import Run, read_rows
from poise.trainer import Trainer
from poise.tuning.verdict import value_in

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner

__all__ = ["Pruner", "Reports", "make_pruner"]


class Pruner(StrEnum):
    """Which trials are ended early.

    ``median``: those whose best so far is worse than the median of the others at the same evaluation. ``asha``: those
    that are not among the best third at evaluation 1, 3, 9, ...; ``none``: none.
    """

    MEDIAN = "median"
    ASHA = "asha"
    NONE = "none"


# So many trials go to their end before any is judged, and the first evaluation judges none.
_STARTUP_TRIALS, _WARMUP_EVALUATIONS = 5, 2


def make_pruner(pruner: Pruner) -> "BasePruner":
    """Optuna's pruner of this kind. ASHA: Li et al. 2018, arXiv 1810.05934, with a third kept at each rung."""
    from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

    if pruner is Pruner.MEDIAN:
        return MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=_WARMUP_EVALUATIONS)
    if pruner is Pruner.ASHA:
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return NopPruner()


class Reports(Hook):
    """Reports each evaluation, and stops a training that the pruner gives up.

    Trials are compared at the same evaluation, counted in images shown, whatever their batches. A storage that does not
    answer stops no training, nor does one that takes its worker for dead: what it missed is reported with the next
    evaluation, or at the end.

    Args:
        trial: the trial.
        run: the run that is trained; one that goes on has evaluations already.
        metric: what is reported.
        every_kimg: thousands of images between two evaluations.
        ends: where the run ends, as steps and kimg: one that is there is not stopped any more.
        storage: turns what a storage that is gone raises into a :class:`~poise.errors.StorageError`.
        say: called when the storage does not answer.
    """

    def __init__(
        self,
        trial: "Trial",
        run: Run,
        metric: str,
        every_kimg: float,
        ends: tuple[int | None, float | None],
        storage: Callable[[], AbstractContextManager[None]],
        say: Callable[[str], None],
    ) -> None:
        self._trial = trial
        self._run = run
        self._metric = metric
        self._every = 1000 * every_kimg
        self._ends = ends
        self._storage = storage
        self._say = say
        self._trainer: Trainer | None = None
        self._is_lost = self._is_replaced = False
        self._unreported: dict[int, float] = {}
        self.values: dict[int, float] = {}

    def start(self, trainer: Trainer) -> None:
        """Report what a run that goes on has evaluated before."""
        self._trainer = trainer
        for row in read_rows(self._run.metrics.path):
            self._take(row)

    def row(self, row: dict[str, Any]) -> None:
        """Report a new evaluation, and stop if it is not good enough."""
        self._take(row)
        try:
            is_hopeless = self._reported()
        except StorageError as error:
            if not self._is_lost:
                self._say(f"Warning: {error}; training goes on")
            self._is_lost = True
            return
        self._is_lost = False
        trainer = self._trainer
        if is_hopeless and trainer is not None and not trainer.has_reached(*self._ends):
            trainer.stop(f"{self._metric} {row[self._metric]:.4g} at {row['nimg'] / 1000:.4g} kimg is behind others")

    def _take(self, row: dict[str, Any]) -> None:
        value, count = value_in(row, self._metric), int(row["nimg"] // self._every)
        if value is not None and count > 0 and count not in self.values:
            self.values[count] = self._unreported[count] = value

    def _reported(self) -> bool:
        """Report what is not reported yet; whether the pruner gives the trial up."""
        from optuna.exceptions import UpdateFinishedTrialError

        if not self._unreported or self._is_replaced:
            return False
        try:
            with self._storage():
                for count in sorted(self._unreported):
                    self._trial.report(self._unreported[count], count)
                    del self._unreported[count]
                return self._trial.should_prune()
        except UpdateFinishedTrialError:
            self._is_replaced = True
            self._say("Warning: this worker was taken for dead, and its trial was given to others; training goes on")
            return False
