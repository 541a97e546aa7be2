"""A run's record, kept up to date."""

from collections.abc import Mapping
from typing import Any

from poise.report import Record
from poise.runs import Follower, Run

__all__ = ["Reader"]


class Reader:
    """Reads what a run's files gained since it last looked.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        files = (run.log, run.metrics, run.probes, run.events, run.evaluations)
        self._followers = [Follower(file.path) for file in files]
        self._rows: list[list[Mapping[str, Any]]] = [[] for _ in files]
        self._record: Record | None = None
        self._beside: object = None

    def record(self) -> Record:
        """The record of now; the same object as long as nothing has changed."""
        changed = False
        for place, follower in enumerate(self._followers):
            news = follower.look()
            if news.afresh:
                self._rows[place] = []
            self._rows[place] += news.rows
            changed = changed or news.afresh or bool(news.rows)
        beside = self._looks_beside()
        if self._record is None or changed or beside != self._beside:
            self._record = Record.of_rows(self.run, *map(tuple, self._rows))
            self._beside = beside
        return self._record

    def _looks_beside(self) -> object:
        """What else a record and its page show, to be compared."""
        run = self.run
        paths = (run.config_path, run.samples, run.checkpoints.directory, run.checkpoints.directory / "best.json")
        return run.status(), run.state(), [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]
