"""The trials of a study in its storage, through which workers agree on who does what."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

from poise.errors import ConfigError
from poise.tuning.goal import Goal
from poise.tuning.pruning import Pruner, make_pruner
from poise.tuning.record import Record, Records
from poise.tuning.space import Space
from poise.tuning.storage import hidden, open_storage, quietly, reaching
from poise.tuning.verdict import Verdict, VerdictState

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.trial import FrozenTrial

__all__ = ["Claim", "Ledger", "TrialRow"]

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


class Claim(NamedTuple):
    """A trial that this worker has taken.

    Attributes:
        trial: in the storage.
        record: on this machine.
        lock: held until the trial has ended.
    """

    trial: "Trial"
    record: Record
    lock: FileLock


class Ledger:
    """The trials of one study in a storage. Every call may raise :class:`~poise.errors.StorageError`.

    Workers of one machine make and claim one after another; that is for the caller to see to.

    Args:
        name: the study's, in the storage.
        url: the database.
        identity: what the study is; another one of this name is refused.
        space: what is varied.
        goal: what is looked for.
        records: the trials as this machine has them.
        first: what is drawn for the first trial of a new study, by path; None for what the search draws.
        seed: of what is drawn.
        pruner: which trials are ended early.
        silent_seconds: a worker that was silent so long is taken for dead.
        say: called with each line that a person should read.

    Raises:
        ConfigError: when the storage cannot be reached, or has another study of this name.
        MissingExtraError: when its driver is not installed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        identity: str,
        space: Space,
        goal: Goal,
        records: Records,
        *,
        first: dict[str, Any] | None,
        seed: int,
        pruner: Pruner,
        silent_seconds: int,
        say: Callable[[str], None],
    ) -> None:
        self.url = url
        self._name, self._identity = name, identity
        self._space, self._goal, self._records = space, goal, records
        self._say = say
        self._begun: set[int] = set()
        self.storage = open_storage(url, silent_seconds, _take_up)
        self.optuna = self._opened(first, seed, pruner)

    def reaching(self) -> AbstractContextManager[None]:
        """What turns errors of a storage that is gone into one kind."""
        return reaching(self.url)

    def close(self) -> None:
        """Let go of the storage's connections."""
        self.storage.engine.dispose()

    def _opened(self, first: dict[str, Any] | None, seed: int, pruner: Pruner) -> "OptunaStudy":
        """The study that is there, or a new one with the trials that this machine has of it."""
        import optuna

        from poise.tuning.sampling import SeededByTrial

        parts: dict[str, Any] = {"sampler": SeededByTrial(seed), "pruner": make_pruner(pruner)}
        parts |= {"storage": self.storage, "study_name": self._name}
        with self.reaching():
            try:
                study = optuna.create_study(
                    direction="maximize" if self._goal.higher_is_better else "minimize", **parts
                )
                found = None
            except optuna.exceptions.DuplicatedStudyError:
                study = optuna.load_study(**parts)
                found = _identity_of(study)
            if found is None:
                self._fill(study, first)
                study.set_user_attr("identity", self._identity)
        if found not in (None, self._identity):
            raise ConfigError(
                f"the storage {hidden(self.url)} has a study {self._name} with other settings, another space or "
                "another metric, whose trials cannot be compared with these; give another --study"
            )
        return study

    def _fill(self, study: "OptunaStudy", first: dict[str, Any] | None) -> None:
        """Give a new study the trials that are known already, or else its first one."""
        records = self._records.all()
        if records:
            self._say(
                f"The storage has no study {self._name}: taking the {len(records)} trials of "
                f"{self._records.directory.parent}"
            )
        for record in records:
            study.add_trial(self._as_trial(record))
        if not records and first is not None:
            study.add_trial(self._waiting(first, {}))

    def _waiting(self, drawn: dict[str, Any], attributes: dict[str, Any]) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        return create_trial(
            state=TrialState.WAITING,
            params=self._space.named(drawn),
            distributions=self._space.distributions(drawn),
            user_attrs=attributes,
        )

    def _as_trial(self, record: Record) -> "FrozenTrial":
        """A trial that the storage does not know, as it is here."""
        from optuna.trial import create_trial

        verdict, drawn = record.verdict, dict(record.drawn)
        attributes: dict[str, Any] = {"run": record.name, "assignments": self._space.assignments(drawn)}
        if verdict is None:
            return self._waiting(drawn, attributes)
        return create_trial(
            state=_optuna_state(verdict),
            value=verdict.value if verdict.state is VerdictState.COMPLETE else None,
            params=self._space.named(drawn),
            distributions=self._space.distributions(drawn),
            user_attrs=attributes | {"reason": verdict.reason, "value": verdict.value},
            intermediate_values=dict(record.values),
        )

    def claim(self, count: int) -> Claim | None:
        """Take the next trial, or None where there are ``count`` and none is waiting."""
        import optuna
        from optuna.trial import TrialState

        from poise.tuning.sampling import suggest

        with self.reaching(), quietly():
            self._take_up_what_was_left()
            self._see_what_was_begun()
            optuna.storages.fail_stale_trials(self.optuna)
            trials = self._current()
            if len(trials) >= count and not any(trial.state is TrialState.WAITING for trial in trials):
                return None
            trial = self.optuna.ask()
            self.storage.record_heartbeat(trial._trial_id)
            drawn = self._space.draw(lambda name, distribution: suggest(trial, name, distribution))
            name = trial.user_attrs.get("run") or self._records.new_name(trial.number, drawn)
            lock = self._records.lock(name)
            try:
                lock.acquire(timeout=1)
            except Timeout:
                self.storage.set_trial_user_attr(trial._trial_id, "reason", f"{name} is still being trained")
                self.optuna.tell(trial.number, state=TrialState.FAIL)
                return self.claim(count)
            trial.set_user_attr("run", name)
            trial.set_user_attr("assignments", self._space.assignments(drawn))
            trial.set_user_attr("machine", self._records.machine)
        record = self._records.read(name)
        if record is None:
            record = Record(name, drawn)
            self._records.write(record)
        return Claim(trial, record, lock)

    def _current(self) -> "list[FrozenTrial]":
        """The trials, but for those that another one has taken the place of."""
        trials = self.optuna.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get("again") for trial in trials}
        return [trial for trial in trials if trial.number not in replaced]

    def _take_up_what_was_left(self) -> None:
        """Give a verdict, or another worker, to trials of this machine whose process is gone."""
        from optuna.trial import TrialState

        for trial in self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            attributes = trial.user_attrs
            if attributes.get("machine") != self._records.machine or not self._records.is_left(attributes["run"]):
                continue
            record = self._records.read(attributes["run"])
            if record is not None and record.verdict is not None:
                self._tell(trial, record, record.verdict)
            else:
                self._put_back(trial, _KILLED)

    def _see_what_was_begun(self) -> None:
        """Give a sign of life, once, for each trial that no machine has put its name to.

        Its worker may have gone before its own first one, and Optuna waits for ever for who never gave any.
        """
        from optuna.trial import TrialState

        for trial in self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if "machine" not in trial.user_attrs and trial.number not in self._begun:
                self.storage.record_heartbeat(trial._trial_id)
                self._begun.add(trial.number)

    def put_back(self, number: int, reason: str) -> None:
        """End a trial, and let a worker go on with it later."""
        from optuna.trial import TrialState

        with self.reaching():
            trial = self.optuna.get_trials(deepcopy=False)[number]
            if trial.state is TrialState.RUNNING:  # else it was put back meanwhile
                self._put_back(trial, reason)

    def _put_back(self, trial: "FrozenTrial", reason: str) -> None:
        from optuna.trial import TrialState

        self.storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        self.optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        _take_up(self.optuna, self.optuna.get_trials()[trial.number])

    def tell(self, number: int, record: Record, verdict: Verdict) -> bool:
        """Give the storage the verdict that a record has; False where another worker has taken the trial up."""
        with self.reaching():
            return self._tell(self.optuna.get_trials(deepcopy=False)[number], record, verdict)

    def _tell(self, trial: "FrozenTrial", record: Record, verdict: Verdict) -> bool:
        from optuna.trial import TrialState

        if trial.state is not TrialState.RUNNING:
            return self._tell_late(trial, record)
        for count, value in record.values.items():
            if count not in trial.intermediate_values:
                self.storage.set_trial_intermediate_value(trial._trial_id, count, value)
        self.storage.set_trial_user_attr(trial._trial_id, "reason", verdict.reason)
        self.storage.set_trial_user_attr(trial._trial_id, "value", verdict.value)
        final = verdict.value if verdict.state is VerdictState.COMPLETE else None
        self.optuna.tell(trial.number, final, _optuna_state(verdict), skip_if_finished=True)
        return True

    def _tell_late(self, trial: "FrozenTrial", record: Record) -> bool:
        """Add the verdict on a trial whose worker was taken for dead, unless another worker is at it, or was."""
        from optuna.trial import TrialState

        after = {other.user_attrs.get("again"): other for other in self.optuna.get_trials(deepcopy=False)}
        while trial.number in after:
            trial = after[trial.number]
        if trial.state is TrialState.WAITING:
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        elif trial.state is not TrialState.FAIL:
            return False
        late = self._as_trial(record)
        late.set_user_attr("again", trial.number)
        self.optuna.add_trial(late)
        return True

    def running(self) -> int:
        """How many trials are being trained, here and elsewhere."""
        from optuna.trial import TrialState

        with self.reaching():
            return len(self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    def rows(self) -> list[TrialRow]:
        """The trials, but for those that another one has taken the place of."""
        with self.reaching():
            return [_row(trial) for trial in self._current()]


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

    is_failed, attributes = trial.state is TrialState.FAIL, trial.user_attrs
    return TrialRow(
        number=trial.number,
        state="failed" if is_failed else trial.state.name.lower(),
        value=trial.value if trial.state is TrialState.COMPLETE else attributes.get("value"),
        reason=attributes.get("reason") or (_KILLED if is_failed else ""),
        drawn=dict(trial.params),
        assignments=attributes.get("assignments", []),
        run=attributes.get("run", ""),
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
