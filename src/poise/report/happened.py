"""What happened in a run beside training: what was done about findings, what failed, where it went on."""

from collections.abc import Mapping
from typing import Any

from poise.report.record import Record, Row
from poise.report.verdict import title_of
from poise.runs import number

__all__ = ["events_of"]

# Findings are told as such; an end is in the status.
_NOT_TOLD = {"finding_began", "finding_ended", "finished"}


def events_of(record: Record) -> list[dict[str, Any]]:
    """Each event that is no finding: its step, kind, severity, what was done, and what it was about."""
    return [
        {
            "step": step,
            "kind": title_of(event["kind"]),
            "severity": str(event.get("severity") or "info"),
            "action": str(event.get("action") or ""),
            "about": _about(event),
        }
        for event in record.events
        if event["kind"] not in _NOT_TOLD and (step := number(event.get("step"))) is not None
    ]


def _about(event: Row) -> str:
    evidence = event.get("evidence")
    if not isinstance(evidence, Mapping):
        return ""
    finding = evidence.get("finding")
    if isinstance(finding, Mapping):
        return title_of(str(finding.get("kind")))
    value = next((evidence[name] for name in ("error", "reason", "changes") if evidence.get(name)), "")
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
