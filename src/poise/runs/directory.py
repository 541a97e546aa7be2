"""The run directory."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from poise.errors import RunError
from poise.files import write_atomic
from poise.runs.checkpoints import Checkpoints
from poise.runs.rows import JsonLines, last_row
from poise.runs.status import State, Status

__all__ = ["FORMAT", "RUNS", "Run", "find", "places", "runs_under"]

FORMAT = 1
RUNS = Path("runs")

# What tells a run from a directory of another program: any of these, by name.
_MARKS = ("config.yaml", "log.jsonl", "metrics.jsonl", "events.jsonl", "status.json")


# What is known of a layer.
_LAYER = ("layer", "shape", "parameters", "cost")


class Run:
    """One run directory: paths, rows, checkpoints, and who holds it.

    Making one touches no file. Readers find what there is; any file may be missing.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.log = JsonLines(self.path / "log.jsonl")
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.evaluations = JsonLines(self.path / "evaluations.jsonl")
        self.probes = JsonLines(self.path / "watch.jsonl")
        self.events = JsonLines(self.path / "events.jsonl")
        self.checkpoints = Checkpoints(self.path / "checkpoints")

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def samples(self) -> Path:
        """Where sample pictures are."""
        return self.path / "samples"

    @property
    def stop_request(self) -> Path:
        """The file that asks a running run to save and stop."""
        return self.path / "stop"

    @property
    def checkpoint_request(self) -> Path:
        """The file that asks a running run to save a checkpoint."""
        return self.path / "checkpoint"

    @property
    def real_picture(self) -> Path:
        """The picture of real samples that is beside those of generated ones."""
        return self.samples / "real.png"

    def pictures(self) -> dict[int, Path]:
        """The pictures of generated samples by their steps, first to last."""
        return {int(path.stem): path for path in sorted(self.samples.glob("*.png")) if path.stem.isdecimal()}

    def exists(self) -> bool:
        """Whether this is a run already, complete or not; what nobody may look into is none."""
        try:
            return any((self.path / mark).exists() for mark in _MARKS) and self._is_ours()
        except OSError:
            return False

    def _is_ours(self) -> bool:
        """Whether nothing speaks against it: readers accept a run that holds only some of its files."""
        return not self.config_path.exists() or self._is_whole()

    def _is_whole(self) -> bool:
        """Whether its config.yaml is one that poise wrote, as far as can be told without reading YAML."""
        try:
            text = self.config_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return bool(re.search(r"^format: \d+$", text, re.MULTILINE))

    def prepare(self) -> None:
        """Make the directory, or make sure that it may be used.

        Raises:
            RunError: when it cannot be written, or holds the files of something else.
        """
        way_out = "give another directory with --run"
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, not a run directory; {way_out}")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")]
        except OSError as error:
            raise RunError(f"the run directory {self.path} cannot be made: {error.strerror}; {way_out}") from error
        if others and not self._is_whole():
            raise RunError(
                f"{self.path} is not empty and is not a run of poise: it has no config.yaml of one (it holds "
                f"{', '.join(sorted(others)[:3])}); nothing in it was touched; {way_out}"
            )
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise RunError(f"the run directory {self.path} is not writable; {way_out}")

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the run: one process trains it at a time. The system lets go of it however the process ends.

        Raises:
            RunError: when another process holds it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / ".lock")
        try:
            # A reader that asks whether the run is held holds it for an instant itself.
            lock.acquire(timeout=1, poll_interval=0.05)
        except Timeout:
            status = Status.read(self.path / "status.json")
            who = f" (process {status.pid} on {status.host})" if status else ""
            raise RunError(
                f"run {self.name} is being trained by another process{who}; wait for it, stop it with "
                f"'poise stop {self.name}', or give another --run"
            ) from None
        except OSError as error:
            raise RunError(f"the run directory {self.path} cannot be locked: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Whether a process is training this run now."""
        if not (self.path / ".lock").exists():
            return False
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / ".lock", timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # not ours to lock: a read-only copy is trained by nobody
            return False

    def write_config(self, text: str) -> None:
        """Write the resolved config."""
        write_atomic(self.config_path, text)

    def write_networks(self, networks: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Write what each network is made of: its layers, each with ``layer``, ``shape``, ``parameters``, ``cost``."""
        write_atomic(self.path / "networks.json", json.dumps(networks, indent=1) + "\n")

    def networks(self) -> dict[str, list[dict[str, Any]]]:
        """What each network is made of; empty where no readable file says it."""
        try:
            found = json.loads((self.path / "networks.json").read_text(encoding="utf-8"))
            return {name: [{key: row[key] for key in _LAYER} for row in rows] for name, rows in found.items()}
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return {}

    def write_machine(self, facts: Mapping[str, str]) -> None:
        """Write on what the run is trained, and how."""
        write_atomic(self.path / "machine.json", json.dumps(facts, indent=1) + "\n")

    def machine(self) -> dict[str, str]:
        """On what the run was last trained, and how; empty where no readable file says it."""
        try:
            found = json.loads((self.path / "machine.json").read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def write_recovery(self, facts: Mapping[str, Any]) -> None:
        """Write what was changed to save the run."""
        write_atomic(self.path / "recovery.json", json.dumps(facts, indent=1) + "\n")

    def recovery(self) -> dict[str, Any]:
        """What was changed to save the run; empty where nothing was.

        Raises:
            RunError: when it cannot be read: going on with other settings than the run's would spoil it.
        """
        path = self.path / "recovery.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read ({error}); mend it, or remove it to forget what it changed"
            ) from error
        if not isinstance(found, dict):
            raise RunError(f"{path} holds no JSON object; mend it, or remove it to forget what it changed")
        return found

    def write_status(self, status: Status) -> None:
        """Say what the run is doing."""
        status.write(self.path / "status.json")

    def status(self) -> Status | None:
        """What the run said last of itself."""
        return Status.read(self.path / "status.json")

    def go_back(self, step: int) -> None:
        """Forget the checkpoints after ``step``, and that more was done: a status that tells of it would miss them.

        Where a process was killed on the way, the same call finishes it.
        """
        status = self.status()
        if status is not None and status.step > step:
            nimg = next((it.nimg for it in self.checkpoints.live() if it.step == step), 0)
            self.write_status(replace(status, step=step, nimg=nimg))
        self.checkpoints.go_back(step)

    def state(self) -> State | None:
        """What the run is doing: its own word, and ``killed`` where its process is gone. None if it never said."""
        status = self.status()
        if status is None or status.state is not State.RUNNING:
            return status.state if status else None
        return State.RUNNING if self.is_held() else State.KILLED

    def last_row(self) -> dict[str, object]:
        """The newest row of the log, or an empty one."""
        return last_row(self.log.path)

    def steps_at_risk(self) -> int:
        """Steps that the log has seen and no checkpoint holds: what a resume would do again."""
        seen = self.last_row().get("step", 0)
        last = self.checkpoints.last()
        return max(0, (seen if isinstance(seen, int) else 0) - (last.step if last else 0))


def runs_under(root: Path = RUNS) -> list[Run]:
    """The runs in a directory, the one touched last first."""
    if not root.is_dir():
        return []
    runs = [run for run in map(Run, root.iterdir()) if run.exists()]
    return sorted(runs, key=_touched, reverse=True)


def _touched(run: Run) -> float:
    return max((run.path / mark).stat().st_mtime for mark in _MARKS if (run.path / mark).exists())


def places(name: str | Path, root: Path = RUNS) -> tuple[Path, ...]:
    """Where the run is that a person names, the likelier place first.

    Args:
        name: a path, or a name under ``root``; as a text, ``./name`` is always a path.
        root: the directory of runs.
    """
    is_path = str(name).partition(os.sep)[0] in (".", "..")
    return (Path(name),) if is_path else (root / name, Path(name))


def find(name: str | Path | None = None, root: Path = RUNS) -> Run:
    """The run that a person means.

    Args:
        name: a path, a name under ``root``, or None for the newest run.
        root: the directory of runs.

    Raises:
        RunError: when there is none, or the directory is not a run.
    """
    runs = runs_under(root)
    if name is None:
        if not runs:
            raise RunError(f"there is no run under {root}/; train one with 'poise train digits', or give a path")
        return runs[0]
    there = [Run(path) for path in places(name, root) if path.is_dir()]
    for run in there:
        if run.exists():
            return run
    if there:
        raise RunError(f"{there[0].path} is not a run of poise: it has none of {', '.join(_MARKS)}")
    names = [run.name for run in runs]
    match = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{match[0]}'?" if match else f"'poise runs' lists those under {root}/"
    raise RunError(f"there is no run '{name}'; {hint}")
