"""The course of a run, as detectors see it: row by row, while it trains or afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from poise.diagnosis.course import Course, Series, how_measured, number
from poise.diagnosis.detectors import DETECTORS, Detector
from poise.diagnosis.finding import Finding, Severity

__all__ = ["Diagnosis", "diagnose", "standing"]

Row = Mapping[str, Any]

# A finding is over when so many rows in turn no longer show it.
_PATIENCE = 3

# After these a run goes on from a checkpoint, or from the beginning.
_GOES_BACK = ("rolled_back", "resumed", "settings_changed")


class Diagnosis:
    """The findings of a run whose rows come one by one. Rows that are cut short or hold nonsense tell nothing.

    Args:
        config: the run's settings; empty where they are not known.

    Attributes:
        failures: what detectors raised, by their kinds; the others judge all the same.
    """

    def __init__(self, config: Row) -> None:
        self._course = Course(config)
        self._found: dict[str, Finding] = {}
        self._quiet: dict[str, int] = {}
        self._how: dict[str, Any] = {}
        self.failures: dict[str, Exception] = {}

    def log(self, row: Row) -> None:
        """Take a row of ``log.jsonl``."""
        self._take(self._course.log, "log", row)

    def metrics(self, row: Row) -> None:
        """Take a row of ``metrics.jsonl``. What was measured otherwise than the rows before begins anew."""
        if how_measured(row) != self._how:
            self._course.metrics, self._how = Series(None), how_measured(row)
        self._take(self._course.metrics, "metrics", row)

    def probe(self, row: Row) -> None:
        """Take a row of ``watch.jsonl``."""
        self._take(self._course.probes, "probes", row)

    def event(self, row: Row) -> None:
        """Take a row of ``events.jsonl``."""
        self._take(self._course.events, "events", row)

    def take(
        self,
        log: Iterable[Row] = (),
        metrics: Iterable[Row] = (),
        probes: Iterable[Row] = (),
        events: Iterable[Row] = (),
    ) -> None:
        """Take the next rows of all files: each when it was written, as the live watch sees them.

        Of events only those are taken that are :func:`standing`; what came before them is not taken back.
        """
        # What is of one step came in this order.
        files = ((log, self.log), (metrics, self.metrics), (probes, self.probe), (standing(events), self.event))
        rows = [(_step(row), turn, take, row) for turn, (given, take) in enumerate(files) for row in given]
        for _, _, take, row in sorted(rows, key=lambda it: it[:2]):
            take(row)

    def _take(self, series: Series, file: str, row: Row) -> None:
        series.add(row)
        for kind, detector in DETECTORS.items():
            if file in detector.reads:
                try:
                    self._judge(kind, detector)
                except Exception as error:
                    self.failures[kind] = error

    def _judge(self, kind: str, detector: Detector) -> None:
        sign, known = detector.judge(self._course), self._found.get(kind)
        step = self._course.step
        if sign is not None:
            self._quiet[kind] = 0
            since = step if sign.since_step is None else sign.since_step
            severity = sign.severity
            if known is not None and not known.ended:
                since = min(since, known.since_step)
                severity = min(severity, known.severity, key=lambda it: it.rank)
            self._found[kind] = Finding(kind, severity, since, step, sign.evidence, sign.cause, sign.advice)
        elif known is not None and not known.ended:
            self._quiet[kind] += 1
            if self._quiet[kind] >= _PATIENCE:
                self._found[kind] = replace(known, ended=True)

    @property
    def findings(self) -> list[Finding]:
        """What was found so far, worst first: what is still there before what is over, and causes before what follows.

        The order of :data:`~poise.diagnosis.DETECTORS` says which is which.
        """
        order = list(DETECTORS)
        return sorted(self._found.values(), key=lambda it: (it.ended, it.severity.rank, order.index(it.kind)))

    @property
    def severe(self) -> list[Finding]:
        """Those that lose the run and are not over."""
        return [it for it in self.findings if it.severity is Severity.SEVERE and not it.ended]


def diagnose(
    config: Row,
    log: Iterable[Row] = (),
    metrics: Iterable[Row] = (),
    probes: Iterable[Row] = (),
    events: Iterable[Row] = (),
) -> list[Finding]:
    """The findings of a run, worst first.

    Args:
        config: its settings; empty where they are not known.
        log: rows of ``log.jsonl``.
        metrics: rows of ``metrics.jsonl``.
        probes: rows of ``watch.jsonl``.
        events: rows of ``events.jsonl``.

    Raises:
        Exception: what a detector raised.
    """
    diagnosis = Diagnosis(config)
    diagnosis.take(log, metrics, probes, events)
    for error in diagnosis.failures.values():
        raise error
    return diagnosis.findings


def standing(events: Iterable[Row]) -> list[Row]:
    """The events of the course that a run is on: those since it last went on from a checkpoint."""
    rows = list(events)
    backs = [i for i, row in enumerate(rows) if row.get("kind") in _GOES_BACK]
    return rows[backs[-1] + 1 :] if backs else rows


def _step(row: Row) -> float:
    return number(row.get("step")) or 0.0
