"""What a run is doing, as far as its files tell."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

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
        """What is written at ``path``; None where nothing readable is."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**fields, "state": State(fields["state"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
