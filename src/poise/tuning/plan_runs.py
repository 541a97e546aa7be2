"""Carrying out a plan: the runs that are not done yet, one after another."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from poise.config import Config, differences
from poise.data import Data
from poise.errors import ConfigError
from poise.runs import Run, State
from poise.session import Session, run_for, settled
from poise.tuning.goal import Goal
from poise.tuning.plan import Configure, Plan, PlannedTrial
from poise.tuning.verdict import Verdict, VerdictState, best_value, verdict_of_error, verdict_of_outcome

__all__ = ["PlannedRun", "Table", "planned_runs"]


@dataclass(frozen=True)
class PlannedRun:
    """One trial with one seed.

    Attributes:
        trial: the row.
        seed: the seed.
        config: its settings.
        run: where it is trained.
    """

    trial: PlannedTrial
    seed: int
    config: Config
    run: Run

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.trial.name}, seed {self.seed}"


def planned_runs(plan: Plan, configure: Configure, over: Sequence[str], directory: Path) -> list[PlannedRun]:
    """Every trial with every seed; all trials of a seed before the next seed. Settings name a trial's runs.

    Args:
        plan: the plan.
        configure: gives configs.
        over: assignments over those of the plan.
        directory: where the runs of a trial have a directory.

    Raises:
        ConfigError: when a setting is wrong, trials are measured in different ways, or a run went further already.
    """
    runs = []
    for seed in plan.seeds:
        for trial in plan.trials:
            config = plan.config(trial, seed, configure, over)
            runs.append(PlannedRun(trial, seed, config, run_for(config, root=directory / trial.slug)))
    for run in runs:
        if run.config.evaluate != runs[0].config.evaluate:
            raise ConfigError(
                f"trials '{runs[0].trial.name}' and '{run.trial.name}' are not evaluated alike, so they cannot be "
                "compared: give evaluate under set, for all"
            )
    _require_different(runs)
    _require_no_longer(runs)
    return runs


def _require_different(runs: Sequence[PlannedRun]) -> None:
    """Refuse two trials with the same settings: what differed between them would be chance."""
    first = [run for run in runs if run.seed == runs[0].seed]
    for index, run in enumerate(first):
        for other in first[:index]:
            if not differences(run.config, other.config, ignore=("recipe",)):
                both = f"'{other.trial.name}' and '{run.trial.name}'"
                raise ConfigError(f"trials {both} have the same settings; leave one out")


def _require_no_longer(runs: Sequence[PlannedRun]) -> None:
    """Refuse an end before that of what was trained already: its best would be that of a longer training."""
    for run in runs:
        status, end = run.run.status(), (run.config.steps, run.config.kimg)
        if status is None or (status.target_steps, status.target_kimg) == end:
            continue
        if status.step > (end[0] or math.inf) or status.nimg > 1000 * (end[1] or math.inf):
            raise ConfigError(
                f"{run.title} was trained to {status.nimg / 1000:.4g} kimg already, further than the others would be: "
                "give an end that is not before this one, or the plan another name"
            )


class Table:
    """The runs of a plan, and what became of them.

    Args:
        plan: the plan.
        runs: its runs.
        data: what is trained on.
        goal: the metric.
        device: where to train.
        trust: packages from which configs may import parts of one's own.
        say: called with each line that a person should read.
    """

    def __init__(
        self,
        plan: Plan,
        runs: Sequence[PlannedRun],
        data: Data,
        goal: Goal,
        *,
        device: str = "auto",
        trust: Sequence[str] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.plan, self.runs, self.data, self.goal = plan, runs, data, goal
        self._device, self._trust, self._say = device, trust, say
        self.verdicts: dict[tuple[str, int], Verdict] = {}

    def carry_out(self) -> bool:
        """Train what is not done yet; False where this process was asked to leave."""
        for number, run in enumerate(self.runs, 1):
            verdict = self._known(run) or self._train(run, number)
            if verdict.state is VerdictState.INTERRUPTED:
                return False
            self.verdicts[run.trial.name, run.seed] = verdict
        return True

    def _known(self, planned: PlannedRun) -> Verdict | None:
        """What became of a run that needs no training."""
        run, config = planned.run, planned.config
        status, value = run.status(), best_value(run, *self.goal)
        if status is None:
            return None
        if status.hopeless:
            return Verdict(VerdictState.FAILED, value, status.reason)
        is_there = (status.target_steps, status.target_kimg) == (config.steps, config.kimg)
        if run.state() is State.FINISHED and is_there and value is not None:
            return Verdict(VerdictState.COMPLETE, value)
        return None

    def _train(self, planned: PlannedRun, number: int) -> Verdict:
        run = planned.run
        self._say(f"{number} of {len(self.runs)}: {planned.title}, run {run.path}")
        try:
            config = settled(planned.config, run, self.data, self._device, self._trust)
            session = Session(
                config,
                self.data,
                run,
                device=self._device,
                trust=self._trust,
                say=lambda line: self._say(f"  {line}"),
            )
            verdict = verdict_of_outcome(session.train(), *self.goal)
        except Exception as error:  # whatever it is: it is this run's, and the others go on
            verdict = verdict_of_error(error, run, *self.goal)
        value = "" if verdict.value is None else f"{self.goal.metric} {verdict.value:.4g}"
        self._say(f"  {'; '.join(filter(None, (value, verdict.reason)))}")
        return verdict

    def values(self) -> dict[str, list[float]]:
        """The values of runs that went to their end, by trial; in the order of the plan."""
        found: dict[str, list[float]] = {trial.name: [] for trial in self.plan.trials}
        for (name, _), verdict in self.verdicts.items():
            if verdict.state is VerdictState.COMPLETE and verdict.value is not None:
                found[name].append(verdict.value)
        return found

    def lost(self) -> list[str]:
        """What has no value in the comparison, each with its reason."""
        return [
            f"{run.title}: {verdict.reason}"
            for run in self.runs
            if (verdict := self.verdicts.get((run.trial.name, run.seed))) is not None
            and verdict.state is not VerdictState.COMPLETE
        ]
