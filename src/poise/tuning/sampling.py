"""Drawing settings: the tree-structured Parzen estimator, seeded by trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial, TrialState

__all__ = ["SeededByTrial", "suggest"]

_STARTUP_TRIALS = 10
_PRIME = 1_000_003


class SeededByTrial(BaseSampler):
    """The tree-structured Parzen estimator, whose random numbers follow from a trial's number.

    So a study that was left and goes on draws what it would have drawn, and workers that begin at the same time draw
    different settings. Trials that are still being trained count as bad ones, so that workers keep apart.

    Args:
        seed: of all of them.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization".
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._now: tuple[int, TPESampler] | None = None

    def _of(self, trial: "FrozenTrial") -> TPESampler:
        if self._now is None or self._now[0] != trial.number:
            seed = (self._seed * _PRIME + trial.number) % 2**32
            self._now = trial.number, TPESampler(n_startup_trials=_STARTUP_TRIALS, seed=seed, constant_liar=True)
        return self._now[1]

    def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> dict[str, BaseDistribution]:
        """The settings that are drawn together."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: "Study", trial: "FrozenTrial", search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw these."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: "Study", trial: "FrozenTrial", param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one that depends on others."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: "Study", trial: "FrozenTrial") -> None:
        """Prepare for a trial."""
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self, study: "Study", trial: "FrozenTrial", state: "TrialState", values: Sequence[float] | None
    ) -> None:
        """Take note of a trial."""
        self._of(trial).after_trial(study, trial, state, values)


def suggest(trial: "Trial", name: str, distribution: BaseDistribution) -> Any:
    """Draw one setting of a trial, or give what was drawn for it before."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
