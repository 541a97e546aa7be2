"""Checkpoints."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from poise.hooks.stops import POLL_SECONDS
from poise.runs import FORMAT, Checkpoint, Checkpoints
from poise.trainer import Hook, Trainer, pack

__all__ = ["Save", "SaveFirst"]


class Save(Hook):
    """Saves a checkpoint from time to time, when asked, and at the end.

    When it saves has no influence on what is trained, so it goes by the clock: what a killed process loses is bounded
    in seconds.

    Args:
        checkpoints: where.
        every_seconds: wall-clock seconds between two.
        every_steps: also every so many steps; None for by the clock only.
        about: what else to keep in each, as JSON values.
        request: the file whose presence asks for one now; removed when it is obeyed.
        saved: called after each.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every_seconds: float = 60.0,
        every_steps: int | None = None,
        about: Mapping[str, Any] | None = None,
        request: Path | None = None,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self.checkpoints = checkpoints
        self._every_seconds = every_seconds
        self._every_steps = every_steps
        self._about = dict(about or {})
        self._request = request
        self._tell = saved
        self._saved_step = -1
        self._saved_at = self._polled_at = 0.0

    def start(self, trainer: Trainer) -> None:
        """Begin to count seconds; know whether this step is saved."""
        self._saved_at = time.monotonic()
        last = self.checkpoints.last()
        if last is not None and last.step == trainer.steps:
            self._saved_step = last.step

    def after_step(self, trainer: Trainer) -> None:
        """Save when it is time."""
        by_steps = self._every_steps is not None and trainer.steps % self._every_steps == 0
        now = time.monotonic()
        if by_steps or now - self._saved_at >= self._every_seconds or self._is_asked(now):
            self.save(trainer)

    def _is_asked(self, now: float) -> bool:
        if self._request is None or now - self._polled_at < POLL_SECONDS:
            return False
        self._polled_at = now
        asked = self._request.exists()
        if asked:
            self._request.unlink(missing_ok=True)
        return asked

    def end(self, trainer: Trainer) -> None:
        """Save the last step."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> Checkpoint | None:
        """Save now; nothing is written where this step is saved already."""
        self._saved_at = time.monotonic()
        if trainer.steps == self._saved_step:
            return None
        self._saved_step = trainer.steps
        state = pack({"format": FORMAT, "about": self._about, "trainer": trainer.state_dict()})
        checkpoint = self.checkpoints.save(trainer.steps, trainer.nimg, state)
        self._tell()
        return checkpoint


class SaveFirst(Hook):
    """Calls a hook of one's own. Where it fails, which is between steps, what was trained is saved before.

    Args:
        hook: the hook.
        save: saves.
    """

    def __init__(self, hook: Hook, save: Save) -> None:
        self._hook, self._save = hook, save

    def start(self, trainer: Trainer) -> None:
        """As the hook does."""
        self._hook.start(trainer)

    def after_step(self, trainer: Trainer) -> None:
        """As the hook does."""
        self._or_save(self._hook.after_step, trainer)

    def end(self, trainer: Trainer) -> None:
        """As the hook does."""
        self._or_save(self._hook.end, trainer)

    def _or_save(self, call: Callable[[Trainer], None], trainer: Trainer) -> None:
        try:
            call(trainer)
        except Exception:
            self._save.save(trainer)
            raise
