"""Everything that a run's files tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from poise.diagnosis import Finding, diagnose
from poise.runs import Run, State, Status, read_rows

__all__ = ["Record"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """The rows of a run, whichever of its files there are. Make one with :meth:`read`.

    Attributes:
        name: of the run.
        path: its directory.
        state: what it is doing, if it ever said.
        status: the content of ``status.json``, if there is any.
        config: the settings; empty where no readable file tells them.
        log: rows of ``log.jsonl``, by step.
        metrics: rows of ``metrics.jsonl``.
        probes: rows of ``watch.jsonl``: what the watch measured.
        events: rows of ``events.jsonl``.
    """

    name: str
    path: Path
    state: State | None
    status: Status | None
    config: Row
    log: Sequence[Row]
    metrics: Sequence[Row]
    probes: Sequence[Row]
    events: Sequence[Row]

    @classmethod
    def read(cls, run: Run) -> "Record":
        """Read the files that there are."""
        return cls(
            name=run.name,
            path=run.path,
            state=run.state(),
            status=run.status(),
            config=_config(run.config_path),
            log=read_rows(run.log.path),
            metrics=read_rows(run.metrics.path),
            probes=read_rows(run.probes.path),
            events=read_rows(run.events.path),
        )

    @cached_property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with it, worst first."""
        return diagnose(self.config, self.log, self.metrics, self.probes, self.events)


def _config(path: Path) -> Row:
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}
