"""The runs of a folder, read no more often than they change."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from poise.board.reader import Reader
from poise.errors import RunError
from poise.report import Record, facts_of, verdict_of
from poise.runs import Run, State

__all__ = ["Shelf"]

# Readers keep the rows of so many runs, those that were asked for last.
_READERS = 32

# A verdict may take this share of the time.
_VERDICT_SHARE = 0.05

_FILES = ("status.json", "log.jsonl", "metrics.jsonl", "events.jsonl", "watch.jsonl", "config.yaml", "checkpoints")


@dataclass
class _Entry:
    """What is known of a run.

    Attributes:
        run: the run.
        stamp: of its files, when the facts were read.
        facts: what the table shows of it.
        verdict: level, headline and kinds of findings; None as long as it was not judged.
        judged: the stamp of the files that the verdict is of.
        not_before: when it may be judged again.
    """

    run: Run
    stamp: object = None
    facts: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    judged: object = None
    not_before: float = 0.0


class Shelf:
    """The runs in a directory.

    The table of all runs reads the end of each file that has changed. Verdicts, for which whole files are read, come
    from a thread of their own, when they come.

    Args:
        root: the directory, which may come later.

    Raises:
        RunError: when it is a file, or a run itself.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise RunError(f"{root} is a file; give a directory of runs")
        if Run(root).exists():
            raise RunError(f"{root} is a run; give the directory that it is in: {root.resolve().parent}")
        self._root = root
        self._entries: dict[str, _Entry] = {}
        self._readers: OrderedDict[str, Reader] = OrderedDict()
        self._judge = ThreadPoolExecutor(1, "verdicts")
        self._waiting: set[str] = set()
        self._lock = Lock()
        self._reading = Lock()

    def close(self) -> None:
        """Judge no more."""
        self._judge.shutdown(wait=False, cancel_futures=True)

    def find(self, name: str) -> Run | None:
        """The run of this name, if there is one; a name is never taken for a path."""
        with self._lock:
            self._look()
            entry = self._entries.get(name)
            return entry.run if entry else None

    def table(self) -> list[dict[str, Any]]:
        """What there is to say of each run in a line, the one touched last first."""
        with self._lock:
            self._look()
            for name, entry in self._entries.items():
                self._refresh(name, entry)
            rows = [entry.facts | {"verdict": entry.verdict} for entry in self._entries.values()]
        return sorted(rows, key=lambda row: row["touched"], reverse=True)

    def records(self, names: Sequence[str]) -> list[Record]:
        """The records of runs; those of names that there are not are left out."""
        runs = {name: run for name in names if (run := self.find(name)) is not None}
        with self._reading:
            return [self._reader(name, run).record() for name, run in runs.items()]

    def _reader(self, name: str, run: Run) -> Reader:
        reader = self._readers.pop(name, None) or Reader(run)
        self._readers[name] = reader
        while len(self._readers) > _READERS:
            self._readers.popitem(last=False)
        return reader

    def _look(self) -> None:
        """Take in runs that have come, and forget those that have gone."""
        try:
            found = {path.name: path for path in self._root.iterdir()}
        except OSError:
            found = {}
        for name in self._entries.keys() - found.keys():
            del self._entries[name]
        for name in found.keys() - self._entries.keys():
            run = Run(found[name])
            if run.exists():
                self._entries[name] = _Entry(run)

    def _refresh(self, name: str, entry: _Entry) -> None:
        stamp = _stamp(entry.run)
        is_running = entry.facts.get("state") == State.RUNNING
        if stamp != entry.stamp or is_running:  # a process that was killed changes no file
            entry.stamp = stamp
            entry.facts = facts_of(entry.run) | {"name": name, "touched": max((when for when, _ in stamp), default=0)}
        if entry.judged != stamp and name not in self._waiting and time.monotonic() >= entry.not_before:
            self._waiting.add(name)
            self._judge.submit(self._judged, name, entry, stamp)

    def _judged(self, name: str, entry: _Entry, stamp: object) -> None:
        t0 = time.monotonic()
        try:
            # A run that is no longer trained is read once, and its rows are not kept.
            with self._reading:
                kept = name in self._readers or entry.facts.get("state") == State.RUNNING
                record = self._reader(name, entry.run).record() if kept else Record.read(entry.run)
            verdict = verdict_of(record)
            open_ = [str(it.kind) for it in record.findings if not it.ended]
            entry.verdict = {"level": verdict.level, "headline": verdict.headline, "kinds": open_}
        except Exception as error:  # one run that cannot be judged takes nothing from the others
            entry.verdict = {"level": "unknown", "headline": f"cannot be judged: {error}", "kinds": []}
        finally:
            entry.judged = stamp
            entry.not_before = time.monotonic() + (time.monotonic() - t0) / _VERDICT_SHARE
            self._waiting.discard(name)


def _stamp(run: Run) -> tuple[tuple[float, int], ...]:
    stats = []
    for name in _FILES:
        try:
            found = (run.path / name).stat()
        except OSError:
            continue
        stats.append((found.st_mtime, found.st_size))
    return tuple(stats)
