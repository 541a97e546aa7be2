"""What a run is doing, as far as its files tell."""

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from poise.files import write_atomic

__all__ = ["State", "Status"]


class State(StrEnum):
    """``running`` while a process trains it; ``killed`` when one did and is gone without a word."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class Status:
    """The content of ``status.json``.

    Attributes:
        state: what the last process said of itself.
        step: steps done when it said so.
        nimg: real images shown.
        target_steps: the end asked for, in steps.
        target_kimg: the end asked for, in thousands of real images.
        seconds: wall-clock seconds of training, over all processes.
        pid: the process.
        host: its machine.
        reason: why it stopped or failed.
        hopeless: whether the same settings would fail in the same way.
    """

    state: State
    step: int
    nimg: int
    target_steps: int | None
    target_kimg: float | None
    seconds: float
    pid: int
    host: str
    reason: str = ""
    hopeless: bool = False

    def write(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_atomic(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Status | None":
        """What is written at ``path``, blank where a field has a wrong type; None where no state can be read."""
        try:
            given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            state = State(given["state"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        blank = cls(state, step=0, nimg=0, target_steps=None, target_kimg=None, seconds=0.0, pid=0, host="")
        fitting = {
            field.name: given[field.name]
            for field in fields(cls)
            if field.name in given and _fits(given[field.name], field.type)
        }
        return replace(blank, **fitting)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value from JSON, which may write 5 for 5.0, is of this type."""
    return isinstance(value, kind) or (isinstance(value, int) and isinstance(0.0, kind))
