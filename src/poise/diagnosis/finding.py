"""What a detector found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """How bad a finding is: worth knowing, worth acting on soon, or what loses the run."""

    INFO = "info"
    WARNING = "warning"
    SEVERE = "severe"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return tuple(reversed(Severity)).index(self)


@dataclass(frozen=True)
class Finding:
    """Something that goes wrong in a run.

    Attributes:
        kind: which, such as ``mode_collapse``; a name of :data:`~poise.diagnosis.DETECTORS`.
        severity: how bad.
        since_step: the step at which the numbers first showed it.
        last_step: the last step at which they did.
        evidence: the numbers by which it was found, by name, as JSON values.
        cause: what probably brought it about, in one sentence.
        advice: what to do, most promising first.
        ended: whether later numbers no longer show it.
    """

    kind: str
    severity: Severity
    since_step: int
    last_step: int
    evidence: Mapping[str, Any]
    cause: str
    advice: str
    ended: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"severity": str(self.severity), "evidence": dict(self.evidence)}
