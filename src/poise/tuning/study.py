"""A study: trials whose settings are drawn from a space, by any number of workers on any number of machines.

What is known is kept twice: in the storage, through which workers agree, and in a directory on the machine of each,
with the runs themselves. So a storage that is gone takes nothing with it, and a trial whose worker was killed goes on
from its last checkpoint.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from poise.data import Data
from poise.errors import StorageError
from poise.files import write_atomic
from poise.session import Session, settled
from poise.tuning.directory import identity_of
from poise.tuning.goal import Goal
from poise.tuning.ledger import Claim, Ledger, TrialRow
from poise.tuning.pruning import Pruner, Reports
from poise.tuning.record import Record, Records
from poise.tuning.space import Settings, Space, shown
from poise.tuning.storage import Heartbeat, hidden, patiently, sqlite_url
from poise.tuning.verdict import Verdict, VerdictState, verdict_of_error, verdict_of_outcome

__all__ = ["Study"]

_T = TypeVar("_T")


class Study:
    """A search for the settings with the best metric.

    Args:
        settings: gives the config of assignments over those of the study.
        data: what is trained on.
        space: what is varied.
        goal: what is looked for.
        directory: where this machine keeps its part; its name is the study's.
        storage: the URL of the database; of a file in the directory if none is given.
        pruner: which trials are ended early.
        silent_seconds: a worker that was silent so long is taken for dead, and a storage for gone.
        device: where to train.
        trust: packages from which configs may import parts of one's own.
        say: called with each line that a person should read.

    Raises:
        ConfigError: when the storage cannot be reached, or has another study of this name.
        MissingExtraError: when its driver is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        data: Data,
        space: Space,
        goal: Goal,
        directory: Path,
        *,
        storage: str | None = None,
        pruner: Pruner = Pruner.MEDIAN,
        silent_seconds: int = 60,
        device: str = "auto",
        trust: Sequence[str] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.settings, self.data, self.space, self.goal = settings, data, space, goal
        self.base = settings([])
        self.directory = directory
        self.records = Records(directory / "trials")
        self._silent_seconds = silent_seconds
        self._device, self._trust, self._say = device, trust, say
        self._lock = FileLock(directory / ".lock")
        url, identity = storage or sqlite_url(directory), identity_of(self.base, space, goal)
        directory.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.ledger = Ledger(
                self.name,
                url,
                identity,
                space,
                goal,
                self.records,
                first=space.drawn_for(self.base, settings),
                seed=self.base.seed,
                pruner=pruner,
                silent_seconds=silent_seconds,
                say=say,
            )
            about = {"format": 1, "identity": identity, "storage": hidden(url)}
            write_atomic(directory / "study.json", json.dumps(about, indent=1) + "\n")

    @property
    def name(self) -> str:
        """The study's name, here and in the storage."""
        return self.directory.resolve().name

    def close(self) -> None:
        """Let go of the storage's connections."""
        self.ledger.close()

    def work(self, count: int) -> bool:
        """Carry out trials until there are ``count`` in all, those of other workers included.

        Returns:
            Whether it came to that; False where this process was asked to leave.

        Raises:
            StorageError: when the storage is gone for longer than a worker may be silent; the directory keeps all.
        """
        is_said = False
        while True:
            claim = self._patiently(lambda: self._claim(count))
            if claim is not None:
                if not self._carry_out(claim):
                    return False
                is_said = False
                continue
            running = self._patiently(self.ledger.running)
            if not running:
                return True
            if not is_said:
                self._say(f"Waiting for {running} trial{'s' * (running > 1)} of other workers")
                is_said = True
            time.sleep(min(1.0, self._silent_seconds / 4))

    def _patiently(self, call: Callable[[], _T]) -> _T:
        try:
            return patiently(call, self._silent_seconds, self._say)
        except StorageError as error:
            raise StorageError(
                f"{error}. The trials are in {self.directory} and nothing of them is lost: when the storage is back, "
                "the same command goes on; if it was lost, give another --storage, which is filled from there"
            ) from error

    def _claim(self, count: int) -> Claim | None:
        with self._lock:
            return self.ledger.claim(count)

    def _carry_out(self, claim: Claim) -> bool:
        """Train a trial to its end; False where this process was asked to leave."""
        number, record = claim.trial.number, claim.record
        verdict = record.verdict
        try:
            with Heartbeat(self.ledger.storage, claim.trial._trial_id):
                if verdict is None:  # else it was trained before the storage heard of it
                    verdict, values = self._train(claim)
                    if verdict.state is VerdictState.INTERRUPTED:
                        self._leave(number, f"{verdict.reason}; to go on")
                        return False
                    record = replace(record, verdict=verdict, values=values)
                    self.records.write(record)
                self._conclude(number, record, verdict)
        finally:
            claim.lock.release()
        return True

    def _train(self, claim: Claim) -> tuple[Verdict, dict[int, float]]:
        """Train a trial's run, or go on with it; return what became of it, and the metric at each evaluation."""
        name, run = claim.record.name, self.records.run(claim.record.name)
        values: dict[int, float] = {}
        try:
            config = self.settings(self.space.assignments(claim.record.drawn))
            config = settled(config, run, self.data, self._device, self._trust)
            reports = Reports(
                claim.trial,
                run,
                self.goal.metric,
                config.evaluate.every_kimg,
                (config.steps, config.kimg),
                self.ledger.reaching,
                self._say,
            )
            values = reports.values
            session = Session(
                config,
                self.data,
                run,
                device=self._device,
                trust=self._trust,
                hooks=[reports],
                evaluated=reports.row,
                say=lambda line: self._say(f"  trial {name}: {line}"),
            )
            verdict = verdict_of_outcome(session.train(), *self.goal)
        except Exception as error:  # whatever it is: it is this trial's, and the others go on
            verdict = verdict_of_error(error, run, *self.goal)
        return verdict, values

    def _leave(self, number: int, reason: str) -> None:
        def put_back() -> None:
            with self._lock:
                self.ledger.put_back(number, reason)

        self._patiently(put_back)

    def _conclude(self, number: int, record: Record, verdict: Verdict) -> None:
        def tell() -> bool:
            with self._lock:
                return self.ledger.tell(number, record, verdict)

        if not self._patiently(tell):
            self._say(f"Warning: trial {record.name} was taken up by another worker; its result is in {self.directory}")
        value = "" if verdict.value is None else f"{self.goal.metric} {verdict.value:.4g}"
        state = "" if verdict.state is VerdictState.COMPLETE else f"{verdict.state}: {verdict.reason}"
        result = "; ".join(filter(None, (value, state)))
        drawn = ", ".join(f"{name}={shown(value)}" for name, value in self.space.named(record.drawn).items())
        self._say(f"Trial {record.name}: {result} ({drawn})")

    def rows(self) -> list[TrialRow]:
        """The trials, but for those that another one has taken the place of.

        Raises:
            StorageError: when the storage does not answer.
        """
        return self._patiently(self.ledger.rows)

    def best(self, rows: Sequence[TrialRow]) -> TrialRow | None:
        """The complete trial with the best value; of equal ones the first."""
        complete = [row for row in rows if row.state == "complete" and row.value is not None]
        sign = -1 if self.goal.higher_is_better else 1
        return min(complete, key=lambda row: sign * (row.value or 0.0), default=None)
