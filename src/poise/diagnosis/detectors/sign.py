"""What a detector is, and what it says."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from poise.diagnosis.course import Course
from poise.diagnosis.finding import Severity

__all__ = ["INFO", "SEVERE", "WARNING", "Detector", "Sign", "rounded"]

INFO, WARNING, SEVERE = Severity.INFO, Severity.WARNING, Severity.SEVERE


class Sign(NamedTuple):
    """That something is wrong now.

    Attributes:
        severity: how bad.
        evidence: the numbers that show it.
        cause: what probably brought it about, in one sentence.
        advice: what to do.
        since_step: when it began, if that was before now.
    """

    severity: Severity
    evidence: Mapping[str, Any]
    cause: str
    advice: str
    since_step: int | None = None


class Detector(NamedTuple):
    """A pure function from the course of a run to a sign, or to None where nothing is wrong or nothing can be told.

    Attributes:
        judge: the function.
        reads: the files after whose rows it is asked: ``log``, ``metrics``, ``probes``, ``events``.
    """

    judge: Callable[[Course], Sign | None]
    reads: frozenset[str]


def rounded(**numbers: float | None) -> dict[str, float]:
    """Evidence for people: known numbers with four digits."""
    return {name: float(f"{value:.4g}") for name, value in numbers.items() if value is not None}
