"""Checkpoint files: complete states, of which a damaged one is never taken for a good one.

A checkpoint of step 1000 is two files: ``00001000.safetensors`` with the state, and ``00001000.json`` with its step,
size and checksum, which is written last and so makes the checkpoint exist.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from poise.errors import CheckpointError
from poise.files import write_atomic

__all__ = ["Checkpoint", "Checkpoints"]

KEEP = 2

# What the names of checkpoints end in behind which training went back.
_RETIRED = "-retired"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk.

    Attributes:
        path: the ``.safetensors`` file.
        step: steps done.
        nimg: real images shown.
        best: the metric and value for which it is kept as the best, if it is.
        retired: whether training went back behind it: it is kept for its samples, and never gone on from.
    """

    path: Path
    step: int
    nimg: int
    best: Mapping[str, Any] | None = None
    retired: bool = False

    def read(self) -> bytes:
        """The state's bytes, checked.

        Raises:
            CheckpointError: when a file is missing, cut short or changed.
        """
        try:
            record = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
            content = self.path.read_bytes()
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}") from error
        if len(content) != record.get("bytes"):
            raise CheckpointError(f"{self.path} is damaged: it has {len(content)} bytes, not {record.get('bytes')}")
        if _checksum(content) != record.get("blake2b"):
            raise CheckpointError(f"{self.path} is damaged: its checksum is not the one it was written with")
        return content


class Checkpoints:
    """The checkpoints of one run: the last two and the best are kept.

    Args:
        directory: the run's ``checkpoints``; made with the first checkpoint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, step: int, nimg: int, content: bytes) -> Checkpoint:
        """Write a checkpoint, then remove those that are neither among the last two nor the best."""
        self.directory.mkdir(exist_ok=True)
        path = self.directory / f"{step:08d}.safetensors"
        # Without its record first: a crash between the two files must not leave an old checksum beside a new state.
        path.with_suffix(".json").unlink(missing_ok=True)
        write_atomic(path, content)
        record = {"step": step, "nimg": nimg, "bytes": len(content), "blake2b": _checksum(content)}
        write_atomic(path.with_suffix(".json"), json.dumps(record) + "\n")
        self._prune()
        return Checkpoint(path, step, nimg)

    def all(self) -> list[Checkpoint]:
        """Every complete checkpoint, oldest first; damaged ones among them, which :meth:`Checkpoint.read` finds."""
        best = self._best()
        found = []
        for record in self.directory.glob("[0-9]*.json"):
            try:
                fields = json.loads(record.read_text(encoding="utf-8"))
                step, nimg = int(fields["step"]), int(fields["nimg"])
            except (OSError, ValueError, KeyError, TypeError):
                step, nimg = int(record.stem) if record.stem.isdigit() else -1, 0
            retired = record.stem.endswith(_RETIRED)
            is_best = best is not None and (best.get("step"), best.get("retired", False)) == (step, retired)
            path = record.with_suffix(".safetensors")
            found.append(Checkpoint(path, step, nimg, best if is_best else None, retired))
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def live(self) -> list[Checkpoint]:
        """Those that training may go on from, oldest first."""
        return [checkpoint for checkpoint in self.all() if not checkpoint.retired]

    def last(self) -> Checkpoint | None:
        """The newest of them, good or not."""
        return next(reversed(self.live()), None)

    def best(self) -> Checkpoint | None:
        """The best one by the run's metric; None before the first evaluation."""
        return next((checkpoint for checkpoint in self.all() if checkpoint.best is not None), None)

    def set_aside(self, checkpoint: Checkpoint) -> None:
        """Rename a damaged checkpoint to ``*.damaged``, so that it no longer counts as the newest."""
        for path in (checkpoint.path, checkpoint.path.with_suffix(".json")):
            if path.exists():
                path.replace(path.with_name(path.name + ".damaged"))

    def go_back(self, step: int) -> None:
        """Forget the checkpoints after ``step``; the best is retired, so that it is not lost.

        Where a process was killed on the way, the same call finishes it.
        """
        best = self._best()
        if best is not None and not best.get("retired") and best.get("step", 0) > step:
            self._retire(best)
        for checkpoint in self.live():
            if checkpoint.step > step:
                self._remove(checkpoint)

    def _retire(self, best: Mapping[str, Any]) -> None:
        for suffix in (".safetensors", ".json"):
            path = self.directory / f"{best['step']:08d}{suffix}"
            if path.exists():
                path.replace(path.with_stem(f"{path.stem}{_RETIRED}"))
        write_atomic(self.directory / "best.json", json.dumps({**best, "retired": True}) + "\n")

    def mark_best(self, step: int, metric: str, value: float, how: Mapping[str, Any] | None = None) -> None:
        """Remember the checkpoint of ``step`` as the best so far; ``how`` says how its value was measured."""
        mark = {"step": step, "metric": metric, "value": value, **(how or {})}
        write_atomic(self.directory / "best.json", json.dumps(mark) + "\n")
        self._prune()

    def _best(self) -> dict[str, Any] | None:
        try:
            best = json.loads((self.directory / "best.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return best if isinstance(best, dict) else None

    def _prune(self) -> None:
        everything = self.all()
        kept = self.live()[-KEEP:]
        for checkpoint in everything:
            if checkpoint.best is None and checkpoint not in kept:
                self._remove(checkpoint)
        complete = {checkpoint.path.stem for checkpoint in everything}
        for leftover in [*self.directory.glob(".*.tmp"), *self.directory.glob("[0-9]*.safetensors")]:
            if leftover.suffix == ".tmp" or leftover.stem not in complete:
                leftover.unlink(missing_ok=True)

    def _remove(self, checkpoint: Checkpoint) -> None:
        checkpoint.path.with_suffix(".json").unlink(missing_ok=True)
        checkpoint.path.unlink(missing_ok=True)


def _checksum(content: bytes) -> str:
    return blake2b(content, digest_size=20).hexdigest()
