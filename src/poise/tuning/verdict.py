"""What the end of a training means for a study."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from os import environ
from typing import Any

from poise.errors import NonFiniteError, PoiseError
from poise.hooks import INTERRUPTIONS
from poise.runs import Run, State, read_rows
from poise.session import Outcome

__all__ = ["Verdict", "VerdictState", "best_value", "verdict_of_error", "verdict_of_outcome"]


class VerdictState(StrEnum):
    """What became of a trial.

    ``complete``: it was trained to its end. ``pruned``: it was given up as hopeless, which tells the search something
    too. ``failed``: it could not be carried out. ``interrupted``: the process was asked to leave; it is to go on.
    """

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Verdict:
    """What became of a trial, what it was worth, and why it ended before its time.

    Attributes:
        state: what became of it.
        value: the best value of the metric that was measured; None where none was.
        reason: why it did not go to its end.
    """

    state: VerdictState
    value: float | None
    reason: str = ""


def verdict_of_outcome(outcome: Outcome, metric: str, higher_is_better: bool) -> Verdict:
    """What a session's end means.

    Whatever ends a training early, be it the pruner, the watch that gives it up, or a person, has a reason to think
    that it will not be among the best: it is pruned with that reason. Only a process that was asked to leave says
    nothing of its training.

    Args:
        outcome: how the session ended.
        metric: the number that the study is about.
        higher_is_better: whether it is better high.
    """
    value = best_value(outcome.run, metric, higher_is_better)
    if outcome.state is not State.FINISHED:
        is_asked_to_leave = outcome.state is State.STOPPED and outcome.reason in INTERRUPTIONS
        return Verdict(VerdictState.INTERRUPTED if is_asked_to_leave else VerdictState.PRUNED, value, outcome.reason)
    if value is None:
        return Verdict(VerdictState.FAILED, None, f"no evaluation gave {metric}{_why_none(outcome.run)}")
    return Verdict(VerdictState.COMPLETE, value)


def verdict_of_error(error: Exception, run: Run, metric: str, higher_is_better: bool) -> Verdict:
    """What an error means that ended a training: broken numbers are the settings' fault, and the search learns of them.

    With ``POISE_DEBUG`` set, the traceback is printed, as it is for errors that end a command.

    Args:
        error: what was raised.
        run: the trial's run.
        metric: the number that the study is about.
        higher_is_better: whether it is better high.
    """
    if environ.get("POISE_DEBUG"):
        traceback.print_exception(error)
    text = str(error) if isinstance(error, PoiseError) else f"{type(error).__name__}: {error}"
    state = VerdictState.PRUNED if isinstance(error, NonFiniteError) else VerdictState.FAILED
    return Verdict(state, best_value(run, metric, higher_is_better), text)


def best_value(run: Run, metric: str, higher_is_better: bool) -> float | None:
    """The best value of a metric in a run: that of the checkpoint that is kept as the best."""
    values = [value for row in read_rows(run.metrics.path) if (value := value_in(row, metric)) is not None]
    return (max if higher_is_better else min)(values, default=None)


def value_in(row: dict[str, Any], metric: str) -> float | None:
    """A metric in a row, where it has a finite value."""
    value = row.get(metric)
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def _why_none(run: Run) -> str:
    failures: Sequence[Any] = [
        event.get("evidence", {}).get("error")
        for event in read_rows(run.events.path)
        if event.get("kind") == "evaluation_failed"
    ]
    return f": {failures[-1]}" if failures else ""
