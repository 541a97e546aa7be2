"""Everything that a run's files tell."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from poise.diagnosis import Diagnosis, Finding
from poise.errors import RunError
from poise.report.spread import spread
from poise.runs import Run, State, Status, number, read_rows

__all__ = ["Found", "Record", "Row"]

Row = Mapping[str, Any]
Found = tuple[Sequence[Finding], Mapping[str, Exception]]
"""Findings, worst first, and what detectors raised, by their kinds."""

# Of longer files, so many rows are judged; each evaluation is compared with all before it.
_JUDGED, _JUDGED_SCORES = 10_000, 1_000

# What rows of a file are, by its name.
_FILES = {"log.jsonl": "log", "watch.jsonl": "probes", "metrics.jsonl": "metrics", "evaluations.jsonl": "metrics"}

# What rows say of themselves beside what was counted and measured.
_ABOUT = {"step", "nimg", "seconds", "seed", "real_samples", "fake_samples"}


@dataclass(frozen=True)
class Record:
    """The rows of a run, whichever of its files there are. Make one with :meth:`read` or :meth:`of_file`.

    Rows without a place in the training, a ``step`` or an ``nimg``, are left out.

    Attributes:
        name: of the run.
        path: its directory, or the one file that there is.
        state: what it is doing, if it ever said.
        status: the content of ``status.json``, if there is any.
        config: the settings; empty where no readable file tells them.
        log: rows of ``log.jsonl``, by step.
        metrics: rows of ``metrics.jsonl``.
        probes: rows of ``watch.jsonl``: what the watch measured.
        events: rows of ``events.jsonl``.
        evaluations: rows of ``evaluations.jsonl``.
        unit: what steps are counted in: ``step``, or ``image`` where rows have only an ``nimg``.
        run: the run directory, if it is one.
        found: what was found, where that is known already.
    """

    name: str
    path: Path
    state: State | None = None
    status: Status | None = None
    config: Row = field(default_factory=dict)
    log: Sequence[Row] = ()
    metrics: Sequence[Row] = ()
    probes: Sequence[Row] = ()
    events: Sequence[Row] = ()
    evaluations: Sequence[Row] = ()
    unit: str = "step"
    run: Run | None = None
    found: Found | None = None

    @classmethod
    def read(cls, run: Run) -> "Record":
        """Read the files that there are."""
        log, metrics, probes, events, evaluations = (
            read_rows(file.path) for file in (run.log, run.metrics, run.probes, run.events, run.evaluations)
        )
        return cls.of_rows(run, log, metrics, probes, events, evaluations)

    @classmethod
    def of_rows(
        cls,
        run: Run,
        log: Iterable[Row] = (),
        metrics: Iterable[Row] = (),
        probes: Iterable[Row] = (),
        events: Iterable[Row] = (),
        evaluations: Iterable[Row] = (),
        found: Found | None = None,
    ) -> "Record":
        """The record of a run whose rows are read already."""
        placed = [placed_rows(rows) for rows in (log, metrics, probes)]
        return cls(
            run.name,
            run.path,
            run.state(),
            run.status(),
            config_of(run),
            log=placed[0],
            metrics=placed[1],
            probes=placed[2],
            events=[event for event in events if isinstance(event.get("kind"), str)],
            evaluations=list(evaluations),
            unit=_unit(*placed),
            run=run,
            found=found,
        )

    @classmethod
    def of_file(cls, path: Path) -> "Record":
        """Read one file of rows that have a ``step`` or an ``nimg``, and numbers of any name.

        Of a file whose name does not tell what they are, rows are evaluations, unless they have both players' losses.

        Raises:
            RunError: when it has no such row.
        """
        rows = placed_rows(read_rows(path))
        if not any(measured(row) for row in rows):
            raise RunError(
                f"{path} has no row to judge: give a run's directory, or a file of JSON lines each of which has a "
                '"step" or an "nimg", and numbers'
            )
        is_log = any({"d_loss", "g_loss"} <= row.keys() for row in rows)
        kind = _FILES.get(path.name, "log" if is_log else "metrics")
        log, metrics, probes = (rows if kind == it else () for it in ("log", "metrics", "probes"))
        return cls(path.name, path, log=log, metrics=metrics, probes=probes, unit=_unit(rows))

    @cached_property
    def _judged(self) -> Found:
        if self.found is not None:
            return self.found
        diagnosis = Diagnosis(self.config)
        diagnosis.take(*judged(self.log, self.metrics, self.probes), self.events)
        return diagnosis.findings, diagnosis.failures

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with it, worst first."""
        return self._judged[0]

    @property
    def failures(self) -> Mapping[str, Exception]:
        """What could not be judged as its detector raised this, by kind."""
        return self._judged[1]

    @property
    def last_step(self) -> int:
        """The last step that any row tells of."""
        ends: list[int] = [rows[-1]["step"] for rows in (self.log, self.metrics, self.probes) if rows]
        return max([*ends, self.status.step if self.status else 0])


def measured(row: Row) -> dict[str, float]:
    """The numbers of a row, without its place and without what it says of how it was made."""
    return {name: value for name, value in row.items() if name not in _ABOUT and number(value) is not None}


def placed_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows that have a place, with a whole ``step``, in their order."""
    placed = []
    for row in rows:
        step = number(row.get("step"), number(row.get("nimg")))
        if step is not None and step >= 0:
            placed.append(row if row.get("step") is step and isinstance(step, int) else {**row, "step": int(step)})
    if any(later["step"] < earlier["step"] for earlier, later in pairwise(placed)):
        placed.sort(key=lambda row: row["step"])
    return placed


def judged(log: Sequence[Row], metrics: Sequence[Row], probes: Sequence[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows of long files that are judged, evenly over them."""
    return spread(log, _JUDGED), spread(metrics, _JUDGED_SCORES), spread(probes, _JUDGED)


def _unit(*kinds: Sequence[Row]) -> str:
    """Whether steps stand for images: of every row, the step is what it says of images."""
    rows = [row for rows in kinds for row in rows[:1]]
    return "image" if rows and all(row.get("nimg") == row["step"] for row in rows) else "step"


def config_of(run: Run) -> Row:
    """The settings of a run; empty where no readable file tells them."""
    import yaml

    try:
        config = yaml.load(run.config_path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def config_text(run: Run) -> str:
    """The settings as they are written."""
    try:
        return run.config_path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def version_of(text: str) -> str | None:
    """The version of poise that wrote settings."""
    found = re.search(r"written by poise (\S+?);", text)
    return found[1] if found else None
