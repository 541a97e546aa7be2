"""The trials of a study as this machine has them: what stays when the storage is gone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from poise.errors import StudyError
from poise.files import write_atomic
from poise.runs import Run
from poise.tuning.verdict import Verdict, VerdictState

__all__ = ["Record", "Records"]


@dataclass(frozen=True)
class Record:
    """A trial.

    Attributes:
        name: of its run directory.
        drawn: what was drawn for it, by path.
        verdict: what became of it; None while it is trained.
        values: the metric at each evaluation.
    """

    name: str
    drawn: Mapping[str, Any]
    verdict: Verdict | None = None
    values: Mapping[int, float] = field(default_factory=dict)


class Records:
    """The directory of a study's trials: a run directory for each, and beside it a file and a lock.

    Args:
        directory: where.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @cached_property
    def machine(self) -> str:
        """What tells trials that were begun here from those of other machines."""
        path = self.directory / ".machine"
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomic(path, uuid4().hex)
        return path.read_text(encoding="utf-8")

    def run(self, name: str) -> Run:
        """The run of a trial."""
        return Run(self.directory / name)

    def new_name(self, number: int, drawn: Mapping[str, Any]) -> str:
        """A name for the run of a trial: its number, unless that is another trial's from a storage that was lost."""
        while True:
            record = self.read(f"{number:04d}")
            if record is None or record.drawn == drawn:
                return f"{number:04d}"
            number += 1

    def lock(self, name: str) -> FileLock:
        """What the process that works on a trial holds; the system lets go of it however the process ends."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return FileLock(self.directory / f".{name}.lock")

    def is_left(self, name: str) -> bool:
        """Whether a trial was begun on this machine, and nobody is at it now."""
        if not (self.directory / f".{name}.lock").exists():
            return False
        try:
            with self.lock(name).acquire(timeout=0):
                return True
        except Timeout:
            return False

    def write(self, record: Record) -> None:
        """Keep a trial."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomic(self.directory / f"{record.name}.json", json.dumps(asdict(record), indent=1) + "\n")

    def read(self, name: str) -> Record | None:
        """A trial, if there is one of this name.

        Raises:
            StudyError: when its file is damaged.
        """
        path = self.directory / f"{name}.json"
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            verdict = fields["verdict"]
            values = {int(count): float(value) for count, value in fields["values"].items()}
            record = Record(name, dict(fields["drawn"]), None, values)
            if verdict is None:
                return record
            state = VerdictState(verdict["state"])
            return replace(record, verdict=Verdict(state, verdict["value"], verdict["reason"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(
                f"{path} cannot be read ({error}): remove it, and the trial counts as one that never was"
            ) from error

    def all(self) -> list[Record]:
        """Every trial that this machine has, in the order of their names."""
        found = [self.read(path.stem) for path in sorted(self.directory.glob("*.json"))]
        return [record for record in found if record is not None]
