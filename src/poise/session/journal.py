"""What a session writes about itself: events, its status, and lines for a person."""

import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from poise.config import Config
from poise.runs import Run, State, Status
from poise.trainer import Trainer

__all__ = ["Journal"]


class Journal:
    """Writes to one run, in the first of several processes; in the others it does nothing.

    Args:
        run: the run.
        config: its settings, which say where it ends.
        trainer: gives the trainer of now.
        writes: whether this is the first process.
        say: called with each line that a person should read.
    """

    def __init__(
        self, run: Run, config: Config, trainer: Callable[[], Trainer], writes: bool, say: Callable[[str], None]
    ) -> None:
        self._run, self._config, self._trainer, self._writes, self._say = run, config, trainer, writes, say

    def say(self, line: str) -> None:
        """Tell a person."""
        if self._writes:
            self._say(line)

    def event(self, kind: str, severity: str, evidence: Mapping[str, Any], action: str) -> None:
        """Append a row to ``events.jsonl``.

        Args:
            kind: what happened.
            severity: ``info``, ``warning`` or ``severe``.
            evidence: what it was told by, as JSON values.
            action: what was done about it.
        """
        if not self._writes:
            return
        self._run.events.append(
            {
                "step": self._trainer().steps,
                "kind": kind,
                "severity": severity,
                "evidence": dict(evidence),
                "action": action,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )

    def status(self, state: State, reason: str = "", hopeless: bool = False) -> None:
        """Write ``status.json``: see :class:`~poise.runs.Status`."""
        if not self._writes:
            return
        trainer, config = self._trainer(), self._config
        self._run.write_status(
            Status(
                state=state,
                step=trainer.steps,
                nimg=trainer.nimg,
                target_steps=config.steps,
                target_kimg=config.kimg,
                seconds=round(trainer.seconds, 3),
                pid=os.getpid(),
                host=socket.gethostname(),
                reason=reason,
                hopeless=hopeless,
            )
        )
