"""A run's record, kept up to date."""

from collections.abc import Sequence

from poise.diagnosis import Diagnosis, standing
from poise.report import Record
from poise.report.record import Found, Row, config_of, judged, placed_rows
from poise.runs import Follower, Run

__all__ = ["Reader"]


class Reader:
    """Reads what a run's files gained since it last looked, and judges only that.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        files = (run.log, run.metrics, run.probes, run.events, run.evaluations)
        self._followers = [Follower(file.path) for file in files]
        self._rows: list[list[Row]] = [[] for _ in files]  # of each file
        self._diagnosis = Diagnosis({})
        self._config: Row = {}
        self._record: Record | None = None
        self._beside: object = None

    def record(self) -> Record:
        """The record of now; the same object as long as nothing has changed."""
        news = [follower.look() for follower in self._followers]
        beside = self._looks_beside()
        if self._record is None or beside != self._beside or any(it.rows or it.afresh for it in news):
            self._beside = beside
            afresh = any(it.afresh for it in news)
            for rows, new in zip(self._rows, news, strict=True):
                rows[:] = new.rows if new.afresh else [*rows, *new.rows]
            found = self._found([it.rows for it in news], afresh)
            log, metrics, probes, events, evaluations = map(tuple, self._rows)
            self._record = Record.of_rows(self.run, log, metrics, probes, events, evaluations, found)
        return self._record

    def _found(self, new: Sequence[Sequence[Row]], afresh: bool) -> Found:
        config = config_of(self.run)
        goes_back = len(standing(new[3])) < len(new[3])
        if afresh or goes_back or config != self._config:
            self._diagnosis, self._config, new = Diagnosis(config), config, self._rows
        log, metrics, probes, events, _ = new
        log, metrics, probes = judged(placed_rows(log), placed_rows(metrics), placed_rows(probes))
        self._diagnosis.take(log, metrics, probes, events)
        return self._diagnosis.findings, dict(self._diagnosis.failures)

    def _looks_beside(self) -> object:
        """What else a record and its page show, to be compared."""
        run = self.run
        paths = (run.config_path, run.samples, run.checkpoints.directory, run.checkpoints.directory / "best.json")
        return run.status(), run.state(), [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]
