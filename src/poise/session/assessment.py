"""An evaluation of a run's samples that a person asks for, apart from its training."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from poise.config import EvaluateConfig, parse
from poise.data import Data, held_out, load
from poise.data.cache import cache_directory
from poise.errors import DataError, RunError
from poise.metrics.features import Progress
from poise.session.evaluation import Evaluation, chosen_features, fitting_metrics, further_metrics
from poise.session.sampler import Sampler
from poise.trainer import latents

__all__ = ["Assessment"]


class Assessment:
    """Measures the samples of a run's checkpoint, and writes a row of ``evaluations.jsonl``.

    The training's own rows in ``metrics.jsonl`` are left alone, so that a run that is being trained, or goes on later,
    does not see it.

    Args:
        sampler: gives the samples.
        source: where the data is now; if it is not given, where it was when the run was trained.
        metrics: names; if none are given, all that fit the data.
        features: their name, or ``auto``; if none are given, those of the run.
        samples: how many; if none are given, as many as the run takes.
        seed: of the latents and of the choice of real samples.
        progress: shows how far long work is.
        say: called with each line that a person should read.

    Attributes:
        evaluation: what it measures by.

    Raises:
        ConfigError: when a setting is wrong.
        DataError: when the data is no longer there.
        RunError: when it is not the data that the run was trained on.
        MetricError: when the data cannot be measured by a metric.
        MissingExtraError: when the features need a package that is not installed.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        source: str | None = None,
        metrics: Sequence[str] | None,
        features: str | None,
        samples: int | None,
        seed: int,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        config = sampler.config
        data = _data_of(sampler, source)
        given = config.evaluate.model_dump() | {"metrics": "auto", "metric": "auto"}
        given |= {key: value for key, value in (("features", features), ("samples", samples)) if value is not None}
        fields = config.model_dump(by_alias=True) | {"evaluate": given}
        settings: EvaluateConfig = parse(fields).evaluate
        if not metrics:
            chosen = chosen_features(settings.features, data, sampler.device)
            metrics = (*fitting_metrics(data, chosen), *further_metrics(data, chosen))
        # Not by the config's own rules: no checkpoint is chosen here, and any number may be asked for alone.
        settings = settings.model_copy(update={"metrics": tuple(metrics)})
        self.sampler = sampler
        self._say = say
        self.evaluation = Evaluation(
            data,
            settings,
            sampler.device,
            seed=seed,
            held_out=held_out(len(data), config.held_out),
            cache=cache_directory(None),
            progress=progress,
            say=say,
        )

    @property
    def _labels(self) -> Tensor | None:
        return self.evaluation.fake_labels if self.sampler.config.classes else None

    def samples(self) -> Tensor:
        """As many as are measured, as the generator makes them."""
        z = latents(self.evaluation.samples, self.sampler.config.z_dim, self.evaluation.seed)
        return self.sampler.generate(z, labels=self._labels)

    def row(self, samples: Tensor) -> dict[str, Any]:
        """Measure samples, and write the row, if it can be written; return it.

        Raises:
            MetricError: when they are too few or not finite.
        """
        checkpoint = self.sampler.checkpoint
        row = {"step": checkpoint.step, "nimg": checkpoint.nimg, "checkpoint": "best" if checkpoint.best else "last"}
        row |= self.evaluation.score(samples)
        if self._labels is not None:
            row |= self.evaluation.by_class(samples, self._labels)
        try:
            self.sampler.run.evaluations.append(row)
        except OSError as error:
            self._say(f"Warning: {error.filename or self.sampler.run.evaluations.path}: {error.strerror}; not stored")
        return row


def _data_of(sampler: Sampler, given: str | None) -> Data:
    """The data that a run was trained on, where it is now."""
    config, run = sampler.config, sampler.run.name
    source = given or config.data
    try:
        data = load(source, size=config.size)
    except DataError as error:
        if given is not None:
            raise
        raise DataError(f"run {run} was trained on {source}: {error}; --data PATH says where it is now") from error
    if data.fingerprint != config.fingerprint:
        raise RunError(
            f"{source} is not what {run} was trained on, or has changed since, so its samples cannot be measured "
            "against it; put the data back, say where it is with --data PATH, or train a new run"
        )
    return data
