"""What is done about a training that goes wrong: a ladder of remedies, each tried once, and its memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from poise.config import Config, parse
from poise.diagnosis import Finding
from poise.errors import PoiseError
from poise.runs import Checkpoint, Run
from poise.watch import HOPELESS, Change, remedies

__all__ = ["SAFE", "Recovery", "Step"]

SAFE = "a safe recipe's settings"
"""The name of the last rung."""

# Where something began so early, there is nothing to go back to.
_BEGINNING = 0.1

# What of a safe recipe is taken over; networks, data and length stay.
_OF_THE_GAME = ("loss", "penalties", "balance", "g_optimizer", "d_optimizer", "top_k", "warmup")

# What comes all at once.
_SUDDEN = {"non_finite"}

# So many updates in a row may be left out.
_SKIPS = 3


@dataclass(frozen=True)
class Step:
    """A rung that was taken.

    Attributes:
        kind: of the finding.
        at_step: where the run was.
        back_to: the step that it went back to.
        change: the name of what was changed.
        settings: the top-level settings that it changed.
        done: whether it is over; a process may be killed on the way.
    """

    kind: str
    at_step: int
    back_to: int
    change: str
    settings: Mapping[str, Any]
    done: bool = False


class Recovery:
    """The remedies of one run. What was tried is in its ``recovery.json``, so that a resume goes on with it.

    Args:
        run: the run.
        config: its settings, before any remedy.
        safe: the settings of a recipe that is known to work on the data; without them that rung is left out.
        anew: whether the settings are other ones than those on which remedies were tried, so that none was tried yet.

    Raises:
        RunError: when the run's ``recovery.json`` cannot be read.
    """

    def __init__(self, run: Run, config: Config, safe: Config | None = None, anew: bool = False) -> None:
        self._run, self._config, self._safe = run, config, safe
        self.steps = [] if anew else [Step(**it) for it in run.recovery().get("steps", [])]
        self._skipped: list[int] = []

    def finish(self) -> None:
        """Finish the last rung, which a process that was killed may have begun: checkpoints after its step go."""
        if self.steps and not self.steps[-1].done:
            self._write()
            self._carry_out(self.steps[-1])

    def set_aside(self) -> Path | None:
        """Rename what was tried on other settings to ``recovery.N.json``, for a person to read; return the new path."""
        path = self._run.path / "recovery.json"
        if not path.exists():
            return None
        others = (path.with_name(f"recovery.{n}.json") for n in count(1))
        return path.rename(next(it for it in others if not it.exists()))

    @property
    def config(self) -> Config:
        """The settings with all remedies."""
        return self._with(self._changed)

    @property
    def _changed(self) -> dict[str, Any]:
        return self._changed_by(self.steps)

    @staticmethod
    def _changed_by(steps: Sequence[Step]) -> dict[str, Any]:
        """The top-level settings that remedies changed."""
        return {key: value for step in steps for key, value in step.settings.items()}

    def _with(self, settings: Mapping[str, Any]) -> Config:
        return parse(self._config.model_dump(mode="json", by_alias=True) | dict(settings)) if settings else self._config

    def may_skip(self, step: int) -> bool:
        """Whether an update at ``step`` may be left out: not where those just before it were."""
        self._skipped.append(step)
        return len(self._skipped) <= _SKIPS or self._skipped[-1 - _SKIPS] < step - 100

    def next(self, finding: Finding, at_step: int, share: float) -> Step | None:
        """The next rung for a finding, or None where there is none left.

        Args:
            finding: what is wrong.
            at_step: the step of now.
            share: of the run, after which the finding began.
        """
        if len(self.steps) >= self._config.watch.rollbacks or finding.kind in HOPELESS:
            return None
        tried = {(step.kind, step.change) for step in self.steps}
        for change in self._changes(finding):
            if (finding.kind, change.name) not in tried and self._is_possible(change):
                back = None if change.anew or share < _BEGINNING else self._good(finding)
                return Step(finding.kind, at_step, back.step if back else 0, change.name, change.settings)
        return None

    def _changes(self, finding: Finding) -> Iterator[Change]:
        settings = self.config.model_dump(mode="json", by_alias=True)
        last_resort = self._last_resort(settings)
        is_last = len(self.steps) == self._config.watch.rollbacks - 1
        for remedy in () if is_last and last_resort else remedies(finding.kind, finding.evidence):
            change = remedy(settings)
            if change is not None:
                yield change
        if last_resort:
            yield last_resort

    def _last_resort(self, settings: Mapping[str, Any]) -> Change | None:
        """The safe recipe's settings; None where they are what failed."""
        if self._safe is None or any(step.change == SAFE for step in self.steps):
            return None
        change = Change(SAFE, self._with_the_game_of(self._safe, settings), anew=True)
        return change if self._is_possible(change) else None

    @staticmethod
    def _with_the_game_of(recipe: Config, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe's game. What is done to G's weights stays: samples are made by G as the settings have it."""
        safe = recipe.model_dump(mode="json", by_alias=True)
        found = {name: safe[name] for name in _OF_THE_GAME}
        found["constraints"] = {name: it for name, it in settings["constraints"].items() if it["to"] == "G"}
        if settings["discriminator"]["class"] == safe["discriminator"]["class"]:
            found["discriminator"] = settings["discriminator"] | safe["discriminator"]
        return found

    def _is_possible(self, change: Change) -> bool:
        """Whether these are settings, and none that failed."""
        failed = [self._with(self._changed_by(self.steps[:count])) for count in range(len(self.steps) + 1)]
        try:
            return self._with(self._changed | dict(change.settings)) not in failed
        except PoiseError:
            return False

    def _good(self, finding: Finding) -> Checkpoint | None:
        """The best checkpoint, or the newest from before the finding; that first where all was well until then."""
        live = self._run.checkpoints.live()
        best = [it for it in live if it.best is not None]
        before = [it for it in live if it.step < finding.since_step]
        candidates = before or best if finding.kind in _SUDDEN else best or before
        return next(reversed(candidates), None)

    def begin(self, step: Step) -> None:
        """Take a rung: from now on its settings hold; :meth:`finish` does the rest."""
        self.steps.append(step)
        self._skipped.clear()

    def _carry_out(self, step: Step) -> None:
        self._run.go_back(step.back_to)
        self.steps[-1] = Step(**(asdict(step) | {"done": True}))
        self._write()

    def _write(self) -> None:
        self._run.write_recovery({"steps": [asdict(step) for step in self.steps]})
