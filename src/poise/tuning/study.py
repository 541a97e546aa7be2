"""A study: trials whose settings are drawn from a space, by any number of workers on any number of machines.

What is known is kept twice: in the storage, through which workers agree, and in a directory on the machine of each,
with the runs themselves. So a storage that is gone takes nothing with it, and a trial whose worker was killed goes on
from its last checkpoint.
"""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from poise.config import Config
from poise.data import Data
from poise.errors import ConfigError, StorageError
from poise.files import write_atomic
from poise.runs import Run, memorable
from poise.session import Session, settled
from poise.session.naming import NOT_IDENTITY
from poise.tuning.goal import Goal
from poise.tuning.pruning import Pruner, Reports, make_pruner
from poise.tuning.record import Record, Records
from poise.tuning.space import Settings, Space, shown
from poise.tuning.storage import Heartbeat, hidden, open_storage, patiently, quietly, reaching, sqlite_url
from poise.tuning.verdict import Verdict, VerdictState, verdict_of_error, verdict_of_outcome

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.trial import FrozenTrial

__all__ = ["STUDIES", "Study", "TrialRow", "directory_for", "identity_of"]

STUDIES = Path("studies")

# A trial that takes its process with it so often is not tried again.
_MOST_KILLS = 3
# So long may the one who makes a study take to fill it.
_MAKING_SECONDS = 10
_KILLED = "its process was killed"


@dataclass(frozen=True)
class TrialRow:
    """A trial as tables show it.

    Attributes:
        number: its number in the study.
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``waiting``.
        value: the best value of the metric; None where none was measured.
        reason: why it did not go to its end.
        drawn: what was drawn for it, by name.
        assignments: its settings as ``a.b=c``.
        run: the name of its run directory.
    """

    number: int
    state: str
    value: float | None
    reason: str
    drawn: dict[str, Any]
    assignments: list[str]
    run: str

    @property
    def is_open(self) -> bool:
        """Whether it is still to be trained to its end."""
        return self.state in ("running", "waiting")


def identity_of(base: Config, space: Space, goal: Goal) -> str:
    """What makes two studies the same one: settings (with their length), space and metric."""
    fields = base.model_dump(mode="json", by_alias=True, exclude=set(NOT_IDENTITY) - {"steps", "kimg"})
    return json.dumps({"settings": fields, "space": space.to_json(), "metric": goal.metric}, sort_keys=True)


def directory_for(identity: str, path: str | None = None, root: Path = STUDIES) -> Path:
    """The directory of a study.

    Args:
        identity: see :func:`identity_of`.
        path: a directory, or a name under ``root``; if none is given, the identity names it, so that the same command
            finds the same study again.
        root: the directory of studies.

    Raises:
        ConfigError: when the directory that was given holds another study, or something else.
    """
    if path is None:
        names = (memorable(identity, attempt) for attempt in range(1000))
        return next(root / name for name in names if _identity_in(root / name) in (None, identity))
    directory = root / path if Path(path).name == path else Path(path)
    found = _identity_in(directory)
    if found is None and directory.exists() and any(not it.name.startswith(".") for it in directory.iterdir()):
        raise ConfigError(f"{directory} is not empty and holds no study; give another --study")
    if found not in (None, identity):
        raise ConfigError(
            f"{directory} holds a study with other settings, another space or another metric, whose trials cannot be "
            "compared with these; give another --study"
        )
    return directory


def _identity_in(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / "study.json").read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError):
        return None


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
        self.url = storage or sqlite_url(directory)
        self._silent_seconds = silent_seconds
        self._device, self._trust, self._say = device, trust, say
        self._identity = identity_of(self.base, space, goal)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(directory / ".lock")
        with self._lock:
            self._storage = open_storage(self.url, silent_seconds, _take_up)
            self.optuna = self._open(pruner)
            about = {"format": 1, "identity": self._identity, "storage": hidden(self.url)}
            write_atomic(directory / "study.json", json.dumps(about, indent=1) + "\n")

    @property
    def name(self) -> str:
        """The study's name, here and in the storage."""
        return self.directory.resolve().name

    def _reaching(self) -> Any:
        return reaching(self.url)

    def _open(self, pruner: Pruner) -> "OptunaStudy":
        """The study in the storage: the one that is there, or a new one with the trials that this machine has of it."""
        import optuna

        from poise.tuning.sampling import SeededByTrial

        parts: dict[str, Any] = {"sampler": SeededByTrial(self.base.seed), "pruner": make_pruner(pruner)}
        parts |= {"storage": self._storage, "study_name": self.name}
        with self._reaching():
            try:
                study = optuna.create_study(direction="maximize" if self.goal.higher_is_better else "minimize", **parts)
                found = None
            except optuna.exceptions.DuplicatedStudyError:
                study = optuna.load_study(**parts)
                found = _identity_of(study)
            if found is None:
                self._fill(study)
                study.set_user_attr("identity", self._identity)
        if found not in (None, self._identity):
            raise ConfigError(
                f"the storage {hidden(self.url)} has a study {self.name} with other settings, another space or another "
                "metric, whose trials cannot be compared with these; give another --study"
            )
        return study

    def _fill(self, study: "OptunaStudy") -> None:
        """Give a new study the trials that are known already, or else the recipe as it is for its first."""
        records = self.records.all()
        if records:
            self._say(f"The storage has no study {self.name}: taking the {len(records)} trials of {self.directory}")
        for record in records:
            study.add_trial(self._as_trial(record))
        if not records:
            drawn = self.space.drawn_for(self.base, self.settings)
            if drawn is not None:
                study.add_trial(self._waiting(drawn, {}))

    def _waiting(self, drawn: dict[str, Any], attributes: dict[str, Any]) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        return create_trial(
            state=TrialState.WAITING,
            params=self.space.named(drawn),
            distributions=self.space.distributions(drawn),
            user_attrs=attributes,
        )

    def _as_trial(self, record: Record) -> "FrozenTrial":
        """A trial that the storage does not know, as it is here."""
        from optuna.trial import create_trial

        verdict, drawn = record.verdict, dict(record.drawn)
        attributes: dict[str, Any] = {"run": record.name, "assignments": self.space.assignments(drawn)}
        if verdict is None:
            return self._waiting(drawn, attributes)
        return create_trial(
            state=_optuna_state(verdict),
            value=verdict.value if verdict.state is VerdictState.COMPLETE else None,
            params=self.space.named(drawn),
            distributions=self.space.distributions(drawn),
            user_attrs=attributes | {"reason": verdict.reason, "value": verdict.value},
            intermediate_values=dict(record.values),
        )

    def close(self) -> None:
        """Let go of the storage's connections."""
        self._storage.engine.dispose()

    def work(self, count: int) -> bool:
        """Carry out trials until there are ``count`` in all, those of other workers included.

        Returns:
            Whether it came to that; False where this process was asked to leave.

        Raises:
            StorageError: when the storage is gone for longer than a worker may be silent; the directory keeps all.
        """
        is_said = False
        while True:
            claimed = self._patiently(lambda: self._claim(count))
            if claimed is not None:
                if not self._carry_out(*claimed):
                    return False
                is_said = False
                continue
            running = self._patiently(self._running)
            if not running:
                return True
            if not is_said:
                self._say(f"Waiting for {running} trial{'s' * (running > 1)} of other workers")
                is_said = True
            time.sleep(min(1.0, self._silent_seconds / 4))

    def _patiently(self, call: Callable[[], Any]) -> Any:
        try:
            return patiently(call, self._silent_seconds, self._say)
        except StorageError as error:
            raise StorageError(
                f"{error}. The trials are in {self.directory} and nothing of them is lost: when the storage is back, "
                "the same command goes on; if it was lost, give another --storage, which is filled from there"
            ) from error

    def _running(self) -> int:
        from optuna.trial import TrialState

        with self._reaching():
            return len(self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    def _claim(self, count: int) -> "tuple[Trial, Record, FileLock] | None":
        """Take the next trial, or None where there are enough. Workers of one machine do so one after another."""
        import optuna
        from optuna.trial import TrialState

        from poise.tuning.sampling import suggest

        with self._lock, self._reaching(), quietly():
            self._take_up_what_was_left()
            optuna.storages.fail_stale_trials(self.optuna)
            trials = self._current()
            if len(trials) >= count and not any(trial.state is TrialState.WAITING for trial in trials):
                return None
            trial = self.optuna.ask()
            self._storage.record_heartbeat(trial._trial_id)
            drawn = self.space.draw(lambda name, distribution: suggest(trial, name, distribution))
            name = trial.user_attrs.get("run") or self.records.new_name(trial.number, drawn)
            record = Record(name, drawn)
            lock = self.records.lock(name)
            try:
                lock.acquire(timeout=1)
            except Timeout:
                self._storage.set_trial_user_attr(trial._trial_id, "reason", f"{name} is still being trained")
                self.optuna.tell(trial.number, state=TrialState.FAIL)
                return self._claim(count)
            trial.set_user_attr("run", name)
            trial.set_user_attr("assignments", self.space.assignments(drawn))
        known = self.records.read(name)
        if known is None:
            self.records.write(record)
        return trial, known or record, lock

    def _current(self) -> "list[FrozenTrial]":
        """The trials, but for those that another one has taken the place of."""
        trials = self.optuna.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get("again") for trial in trials}
        return [trial for trial in trials if trial.number not in replaced]

    def _take_up_what_was_left(self) -> None:
        """Give a verdict, or another worker, to trials of this machine whose process is gone."""
        from optuna.trial import TrialState

        for trial in self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            name = trial.user_attrs.get("run")
            if name is None or not self.records.is_left(name):
                continue
            record = self.records.read(name)
            if record is not None and record.verdict is not None:
                self._tell(trial, record)
            else:
                self._put_back(trial, _KILLED)

    def _put_back(self, trial: "FrozenTrial", reason: str) -> None:
        """End a trial, and let another one go on with it."""
        from optuna.trial import TrialState

        self._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        self.optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        _take_up(self.optuna, self.optuna.get_trials()[trial.number])

    def _carry_out(self, trial: "Trial", record: Record, lock: FileLock) -> bool:
        """Train a trial to its end; False where this process was asked to leave."""
        try:
            with Heartbeat(self._storage, trial._trial_id):
                if record.verdict is None:  # else it was trained before the storage heard of it
                    verdict, values = self._train(trial, record)
                    if verdict.state is VerdictState.INTERRUPTED:
                        self._patiently(lambda: self._leave(trial, verdict.reason))
                        return False
                    record = replace(record, verdict=verdict, values=values)
                    self.records.write(record)
                self._patiently(lambda: self._conclude(trial, record))
        finally:
            lock.release()
        return True

    def _train(self, trial: "Trial", record: Record) -> tuple[Verdict, dict[int, float]]:
        """Train a trial's run, or go on with it."""
        run = self.records.run(record.name)
        values: dict[int, float] = {}
        try:
            config = self.settings(self.space.assignments(record.drawn))
            config = settled(config, run, self.data, self._device, self._trust)
            reports = self._reports(trial, run, config)
            values = reports.values
            session = Session(
                config,
                self.data,
                run,
                device=self._device,
                trust=self._trust,
                hooks=[reports],
                evaluated=reports.row,
                say=lambda line: self._say(f"  trial {record.name}: {line}"),
            )
            verdict = verdict_of_outcome(session.train(), *self.goal)
        except Exception as error:  # whatever it is: it is this trial's, and the others go on
            if environ.get("POISE_DEBUG"):
                traceback.print_exc()
            verdict = verdict_of_error(error, run, *self.goal)
        return verdict, values

    def _reports(self, trial: "Trial", run: Run, config: Config) -> Reports:
        ends = config.steps, config.kimg
        every_kimg = config.evaluate.every_kimg
        return Reports(trial, run, self.goal.metric, every_kimg, ends, self._reaching, self._say)

    def _leave(self, trial: "Trial", reason: str) -> None:
        with self._lock, self._reaching():
            frozen = self.optuna.get_trials(deepcopy=False)[trial.number]
            self._put_back(frozen, f"{reason}; to go on")

    def _conclude(self, trial: "Trial", record: Record) -> None:
        with self._reaching():
            self._tell(self.optuna.get_trials(deepcopy=False)[trial.number], record)
        self._say(self._line(record))

    def _tell(self, trial: "FrozenTrial", record: Record) -> None:
        """Give the storage a verdict, unless the trial was taken up elsewhere meanwhile."""
        from optuna.trial import TrialState

        verdict = record.verdict
        assert verdict is not None
        if trial.state is not TrialState.RUNNING:
            self._say(f"Warning: trial {record.name} was taken up by another worker; its result is in {self.directory}")
            return
        for count, value in record.values.items():
            if count not in trial.intermediate_values:
                self._storage.set_trial_intermediate_value(trial._trial_id, count, value)
        self._storage.set_trial_user_attr(trial._trial_id, "reason", verdict.reason)
        self._storage.set_trial_user_attr(trial._trial_id, "value", verdict.value)
        final = verdict.value if verdict.state is VerdictState.COMPLETE else None
        self.optuna.tell(trial.number, final, _optuna_state(verdict), skip_if_finished=True)

    def _line(self, record: Record) -> str:
        """What to say of a trial that has ended."""
        verdict = record.verdict
        assert verdict is not None
        value = "" if verdict.value is None else f"{self.goal.metric} {verdict.value:.4g}"
        state = "" if verdict.state is VerdictState.COMPLETE else f"{verdict.state}: {verdict.reason}"
        result = "; ".join(filter(None, (value, state)))
        drawn = ", ".join(f"{name}={shown(value)}" for name, value in self.space.named(record.drawn).items())
        return f"Trial {record.name}: {result} ({drawn})"

    def rows(self) -> list[TrialRow]:
        """The trials, but for those that another one has taken the place of.

        Raises:
            StorageError: when the storage does not answer.
        """

        def read() -> list[TrialRow]:
            with self._reaching():
                return [_row(trial) for trial in self._current()]

        rows: list[TrialRow] = self._patiently(read)
        return rows

    def best(self, rows: Sequence[TrialRow]) -> TrialRow | None:
        """The complete trial with the best value; of equal ones the first."""
        complete = [row for row in rows if row.state == "complete" and row.value is not None]
        sign = -1 if self.goal.higher_is_better else 1
        return min(complete, key=lambda row: sign * (row.value or 0.0), default=None)


def _identity_of(study: "OptunaStudy") -> str | None:
    """What a study in the storage is; who makes one writes it last. None where its maker left before that."""
    for _ in range(_MAKING_SECONDS):
        found = study.user_attrs.get("identity")
        if found is not None:
            return str(found)
        time.sleep(1)
    return None


def _row(trial: "FrozenTrial") -> TrialRow:
    from optuna.trial import TrialState

    state = {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())
    attributes = trial.user_attrs
    value = trial.value if trial.state is TrialState.COMPLETE else attributes.get("value")
    reason = attributes.get("reason") or (_KILLED if trial.state is TrialState.FAIL else "")
    return TrialRow(
        trial.number,
        state,
        value,
        reason,
        dict(trial.params),
        attributes.get("assignments", []),
        attributes.get("run", ""),
    )


def _optuna_state(verdict: Verdict) -> Any:
    from optuna.trial import TrialState

    return {
        VerdictState.COMPLETE: TrialState.COMPLETE,
        VerdictState.PRUNED: TrialState.PRUNED,
        VerdictState.FAILED: TrialState.FAIL,
    }[verdict.state]


def _take_up(study: "OptunaStudy", trial: "FrozenTrial") -> None:
    """Let another worker go on with a trial that was failed as its worker is gone, unless that came too often."""
    from optuna.trial import TrialState, create_trial

    attributes = trial.user_attrs
    reason = attributes.get("reason", _KILLED)
    kills = attributes.get("kills", 0) + (reason == _KILLED)
    if kills >= _MOST_KILLS:
        return
    kept = {name: attributes[name] for name in ("run", "assignments") if name in attributes}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept | {"again": trial.number, "kills": kills},
        )
    )
