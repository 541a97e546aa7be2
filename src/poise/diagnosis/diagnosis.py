"""The course of a run, as detectors see it: row by row, while it trains or afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from poise.diagnosis.finding import Finding

__all__ = ["Diagnosis", "diagnose"]

Row = Mapping[str, Any]


class Diagnosis:
    """The findings of a run whose rows come one by one."""

    def __init__(self, config: Row) -> None:
        self._config = config

    @property
    def findings(self) -> list[Finding]:
        """What was found so far, worst first."""
        return []


def diagnose(
    config: Row,
    log: Iterable[Row] = (),
    metrics: Iterable[Row] = (),
    probes: Iterable[Row] = (),
    events: Iterable[Row] = (),
) -> Sequence[Finding]:
    """The findings of a run, worst first.

    Args:
        config: its settings; empty where they are not known.
        log: rows of ``log.jsonl``.
        metrics: rows of ``metrics.jsonl``.
        probes: rows of ``watch.jsonl``.
        events: rows of ``events.jsonl``.
    """
    return Diagnosis(config).findings
