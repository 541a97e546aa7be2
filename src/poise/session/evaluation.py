"""What a run's samples are measured by, and the numbers themselves."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from poise.config import EvaluateConfig
from poise.data import Data
from poise.errors import MetricError
from poise.files import write_atomic
from poise.metrics import (
    BETTER,
    METRICS,
    Statistics,
    Truth,
    kid,
    memorization,
    metrics_of,
    per_class,
    statistics,
)
from poise.metrics.checks import checked_finite
from poise.metrics.features import FEATURES, Classifier, Examples, Extractor, Progress, Workplace
from poise.metrics.features.classifier import labels_of
from poise.metrics.features.extractor import silent
from poise.metrics.kernel import LEAST
from poise.parallel import World

__all__ = ["Evaluation", "chosen_features", "fitting_metrics", "further_metrics", "said_when_long"]

# So many classes are told at once.
_SHOWN = 8

# What else is drawn by the seed that chooses real samples.
_LABELS = 1

# So many pixels of training data are compared without being asked to: 4 GiB of float32.
_MOST_VALUES = 1 << 30


def chosen_features(features: str, data: Data, device: torch.device) -> str:
    """The features that ``auto`` stands for: what can be computed everywhere and at once, before what is better.

    Vectors are compared in units of their columns' spread, labelled images by a classifier of their own labels, where
    there are enough to learn from. Other images are compared by Inception where it is installed and there is a GPU: on
    a CPU it would take longer than the training. Else they are compared pixel by pixel.

    Args:
        features: a name, or ``auto``.
        data: what is measured against.
        device: where.
    """
    if features != "auto":
        return features
    if data.kind == "vectors":
        return "standardized"
    with suppress(MetricError):
        FEATURES["classifier"].require(examples_of(data))
        return "classifier"
    if device.type == "cuda" and find_spec("torch_fidelity") is not None:
        return "inception"
    return "raw"


def examples_of(data: Data) -> Examples:
    """The data as features see it."""
    scaling = data.scaling
    return Examples(data.array, data.labels, len(data.classes), data.fingerprint, scaling.center, scaling.scale)


def said_when_long(say: Callable[[str], None], seconds: float = 2.0) -> Progress:
    """A progress that says what is being done where it takes long, the first time, and is silent elsewhere."""
    said: set[str] = set()

    def progress(what: str, items: Iterable[Any], total: int) -> Iterator[Any]:
        t0 = time.monotonic()
        for item in items:
            if what not in said and time.monotonic() - t0 > seconds:
                said.add(what)
                say(f"Evaluation: {what}")
            yield item

    return progress


def fitting_metrics(data: Data, features: str) -> tuple[str, ...]:
    """The metrics that training measures unless told otherwise; the first is the one to choose by.

    On pixels FID and KID say little, and the sliced Wasserstein distance is of no use beside what has features. Of
    points whose density is known, counts of modes make it noise: see docs/decisions.md.
    """
    if data.kind == "vectors":
        return ("swd",) if data.density is None else ("modes", "swd")
    return ("swd",) if features == "raw" else ("kid", "fid")


def further_metrics(data: Data, features: str) -> tuple[str, ...]:
    """What is measured besides when a person asks for an evaluation: all that fits, and takes no longer than that.

    Copies are looked for among all training samples, whose pixels may be more than fit into memory.
    """
    if data.kind == "vectors":
        return ("prdc",)
    if features == "classifier":
        return ("prdc", "classes", "memorization")
    return ("prdc",) if features == "raw" and data.array.size > _MOST_VALUES else ("prdc", "memorization")


class Evaluation:
    """Measures samples against data. Networks and the real side's features are made when they are first needed, once.

    Args:
        data: what the samples imitate.
        config: what to measure, on how many samples.
        device: where features are computed.
        seed: of the latents, of the choice of real samples and of labels, and of what metrics draw.
        held_out: the indices of real samples that are not trained on.
        cache: the directory where classifiers and features of real data are kept; None for nowhere.
        progress: shows how far long work is.
        say: called with each line that a person should read.
        world: the processes that measure together: each computes the features of its share of the samples.

    Attributes:
        metrics: the names of the metrics.
        metric: the number by which a checkpoint is chosen; empty where none of them can be.
        features: the name of the features.
        samples: how many fake samples it wants.
    """

    def __init__(
        self,
        data: Data,
        config: EvaluateConfig,
        device: torch.device,
        *,
        seed: int = 0,
        held_out: NDArray[np.int64] | None = None,
        cache: Path | None = None,
        progress: Progress = silent,
        say: Callable[[str], None] = lambda line: None,
        world: World | None = None,
    ) -> None:
        self.data = data
        self.seed = seed
        self._world = world or World()
        self.samples = config.samples
        self.features = chosen_features(config.features, data, device)
        fitting = fitting_metrics(data, self.features)
        wanted = [] if config.metric == "auto" else [config.metric]
        self.metrics = metrics_of([*wanted, *fitting] if config.metrics == "auto" else config.metrics)
        self.metric = wanted[0] if wanted else next(filter(BETTER.__contains__, self._numbers()), "")
        self.examples = examples_of(data)
        self._trained = np.arange(len(data)) if held_out is None else np.setdiff1d(np.arange(len(data)), held_out)
        self._workplace = Workplace(device, None if cache is None else cache / "metrics", progress)
        self._say = say
        self._said: set[str] = set()
        self._extractors: dict[str, Extractor] = {}
        self._require()

    def _numbers(self) -> Iterator[str]:
        for name in self.metrics:
            yield from METRICS[name].numbers

    def _require(self) -> None:
        """Refuse what could never be measured, before anything is."""
        for name in self.metrics:
            FEATURES[self.space_of(name)].require(self.examples)
        if "modes" in self.metrics:
            _truth(self.data)

    def space_of(self, metric: str) -> str:
        """The features that a metric is measured on."""
        space = METRICS[metric].space
        return self.values if space == "values" else space or self.features

    @property
    def values(self) -> str:
        """The features that the samples' own values are: of images the pixels, of vectors what was chosen."""
        return self.features if self.data.kind == "vectors" else "raw"

    @property
    def higher_is_better(self) -> bool:
        """Whether the number by which a checkpoint is chosen is better high."""
        return BETTER[self.metric] == "higher"

    def score(self, samples: Tensor) -> dict[str, Any]:
        """The numbers of samples, and how they were measured.

        Args:
            samples: as a generator makes them, ``(n, ...)``.

        Returns:
            Each number by its name; ``features``, ``features_id`` where these are a network's; ``other_features``,
            by the names of numbers that were measured on others; ``real_samples``, ``fake_samples`` and ``seed``.

        Raises:
            MetricError: when the samples are too few or not finite, or what a metric needs is not there.
            MissingExtraError: when the features need a package that is not installed.
        """
        checked_finite(samples, "samples")
        evidence = _Evidence(self, self.data.restore(samples))
        numbers: dict[str, Any] = {}
        spaces: dict[str, str] = {}
        with self._telling():
            for name in self.metrics:
                measured = METRICS[name].measure(evidence)
                spaces |= dict.fromkeys(measured, self.space_of(name))
                numbers |= measured
        return numbers | self._how(spaces, len(samples))

    def _how(self, spaces: Mapping[str, str], count: int) -> dict[str, Any]:
        shown = self.features if self.features in spaces.values() else next(iter(spaces.values()))
        how: dict[str, Any] = {"features": shown}
        identities = {name: it.identity for name, it in self._extractors.items() if it.identity}
        if identities:
            how["features_id"] = ", ".join(identities[name] for name in sorted(identities))
        others = {name: space for name, space in spaces.items() if space != shown}
        if others:
            how["other_features"] = others
        return how | {"real_samples": len(self.chosen), "fake_samples": count, "seed": self.seed}

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say what metrics warn of, each once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            line = f"Warning: {warning.message}"
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    def by_class(self, samples: Tensor, labels: Tensor) -> dict[str, Any]:
        """How good the samples of each class are, where the generator was told which to make.

        Classes of too few samples are left out, and a person is told which.

        Args:
            samples: as a generator makes them, ``(n, ...)``.
            labels: the classes that they were asked for with, ``(n,)``.

        Returns:
            ``kid_by_class``, by the classes' names, where any has enough samples; and on features of a classifier
            ``class_accuracy``, the share of samples that it takes for what was asked for.
        """
        assert self.data.labels is not None
        extractor = self.extractor(self.features)
        fake = extractor.of(self.data.restore(samples), "samples")
        real_labels = torch.from_numpy(np.asarray(self.data.labels[self.chosen]))
        enough = self._with_enough(real_labels, labels)
        of_real, of_fake = torch.isin(real_labels, enough), torch.isin(labels, enough)
        found = per_class(
            lambda x, y: kid(x, y, seed=self.seed).mean,
            self.real[of_real],
            real_labels[of_real],
            fake[of_fake],
            labels[of_fake],
        )
        numbers: dict[str, Any] = {}
        if found:
            numbers["kid_by_class"] = {self.data.classes[label]: it for label, it in found.items()}
        if isinstance(extractor, Classifier):
            numbers["class_accuracy"] = float((extractor.classes_of(fake) == labels).float().mean())
        return numbers

    def _with_enough(self, *sides: Tensor) -> Tensor:
        """The classes whose KID can be measured; say which cannot."""
        names = self.data.classes
        counts = torch.stack([labels.bincount(minlength=len(names)) for labels in sides]).amin(0)
        few = [name for name, count in zip(names, counts.tolist(), strict=True) if count < LEAST]
        if few:
            more = f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
            self._say(
                f"No KID of {', '.join(few[:_SHOWN])}{more}: a class needs {LEAST} real and {LEAST} generated samples"
            )
        return torch.nonzero(counts >= LEAST).flatten()

    @property
    def fake_labels(self) -> Tensor | None:
        """The classes of the samples that it wants, ``(samples,)``: drawn as the data has them.

        They are not those of the chosen real samples: of two sets with equal counts, KID is below 0 on average.
        """
        if self.data.labels is None:
            return None
        drawn = np.random.default_rng((self.seed, _LABELS)).choice(self.data.labels, self.samples)
        return torch.from_numpy(drawn)

    def nearest_pairs(self, samples: Tensor, count: int) -> NDArray[Any]:
        """The samples that are nearest to the training data, each before its neighbour there.

        Args:
            samples: as a generator makes them, ``(n, ...)``.
            count: how many.

        Returns:
            ``(2 * count, ...)`` as files have them, the nearest pair first.
        """
        checked_finite(samples, "samples")
        rows = self.data.restore(samples)
        found = memorization(self.features_of(rows, self.features, "samples"), self.train)
        order = found.distances.argsort()[:count]
        pairs = rows[order.numpy()], self.data.array[self._trained[found.neighbours[order].numpy()]]
        return np.stack(pairs, axis=1).reshape(-1, *rows.shape[1:])

    def extractor(self, name: str) -> Extractor:
        """The features of this name, which are the same in all processes.

        Raises:
            MetricError: when they are not, as where machines made them apart.
        """
        if name not in self._extractors:
            # The first process leaves in the cache what takes long.
            made = self._world.first_then_others(lambda: FEATURES[name].make(self.examples, self._workplace))
            if len(set(self._world.of_all(made.identity))) > 1:
                raise MetricError(
                    f"the processes have {name} features that differ: let POISE_CACHE be a directory that all machines "
                    "share, or take other features, such as raw"
                )
            self._extractors[name] = made
        return self._extractors[name]

    def features_of(self, rows: NDArray[Any], name: str, what: str) -> Tensor:
        """Features of samples as files have them, ``(n, k)``, of which each process computes its share.

        Args:
            rows: the samples, all of them in every process.
            name: of the features.
            what: the samples are, for the display.
        """
        extractor = self.extractor(name)
        if extractor.costs_nothing:
            return extractor.of(rows, what)
        return self._world.spread(len(rows), lambda share: extractor.of(rows[share], what))

    def about(self) -> dict[str, str]:
        """What a person should know of the features that were used, by their names."""
        return {name: it.about for name, it in self._extractors.items() if it.about}

    @cached_property
    def chosen(self) -> NDArray[np.intp]:
        """Which real samples the fake ones are measured against: as many of them, where there are."""
        count = min(self.samples, len(self.data))
        return np.random.default_rng(self.seed).choice(len(self.data), count, replace=False)

    @cached_property
    def real_values(self) -> Tensor:
        """The chosen real samples themselves."""
        return self.extractor(self.values).of(self.data.array, "real samples", self.chosen)

    @cached_property
    def real(self) -> Tensor:
        """Features of the chosen real samples."""
        return self._cached(self.chosen)

    @cached_property
    def statistics(self) -> Statistics:
        """Those of :attr:`real`."""
        return statistics(self.real, "real samples")

    @cached_property
    def train(self) -> Tensor:
        """Features of all real samples that are trained on."""
        return self._cached(self._trained)

    def _cached(self, chosen: NDArray[np.intp]) -> Tensor:
        """Features of real samples: from the cache, or computed now. What costs nothing needs no cache."""
        extractor, directory = self.extractor(self.features), self._workplace.cache
        if extractor.costs_nothing or directory is None or not self.data.fingerprint:
            return self._of_real(chosen)
        key = blake2b(digest_size=16)
        for part in (self.data.fingerprint, self.features, extractor.identity, chosen.astype("<i8").tobytes()):
            key.update(part if isinstance(part, bytes) else f"{part}\n".encode())
        path = directory / f"features-{key.hexdigest()}.safetensors"
        known = self._world.by_first(lambda: _read_features(path))
        if known is not None:
            return known
        found = self._of_real(chosen)
        if self._world.is_first:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomic(path, save({"features": found}))
        return found

    def _of_real(self, chosen: NDArray[np.intp]) -> Tensor:
        """Features of real samples, of which each process reads its share alone."""
        extractor = self.extractor(self.features)
        return self._world.spread(
            len(chosen), lambda share: extractor.of(self.data.array, "real samples", chosen[share])
        )


def _read_features(path: Path) -> Tensor | None:
    """Features that were kept; None where there are none, or damaged ones."""
    try:
        return load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None


class _Evidence:
    """Samples beside the data that they imitate: see :class:`poise.metrics.Evidence`.

    Args:
        evaluation: has the real side.
        rows: the fake samples, as files would have them: images are rounded to whole levels.
    """

    def __init__(self, evaluation: Evaluation, rows: NDArray[Any]) -> None:
        self._evaluation = evaluation
        self._rows = rows
        self._features: dict[str, Tensor] = {}
        self.seed = evaluation.seed

    def _of(self, name: str) -> Tensor:
        if name not in self._features:
            self._features[name] = self._evaluation.features_of(self._rows, name, "samples")
        return self._features[name]

    @property
    def real(self) -> Tensor:
        return self._evaluation.real

    @property
    def fake(self) -> Tensor:
        return self._of(self._evaluation.features)

    @property
    def statistics(self) -> Statistics:
        return self._evaluation.statistics

    @property
    def train(self) -> Tensor:
        return self._evaluation.train

    @property
    def real_values(self) -> Tensor:
        return self._evaluation.real_values

    @property
    def fake_values(self) -> Tensor:
        return self._of(self._evaluation.values)

    @property
    def fake_raw(self) -> Tensor:
        return torch.from_numpy(self._rows).float().flatten(1)

    @property
    def truth(self) -> Truth:
        return _truth(self._evaluation.data)

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(labels_of(self._evaluation.examples))

    @property
    def classes(self) -> int:
        return len(self._evaluation.data.classes)

    @property
    def fake_classes(self) -> Tensor:
        extractor = self._evaluation.extractor("classifier")
        assert isinstance(extractor, Classifier)
        return extractor.classes_of(self._of("classifier"))


def _truth(data: Data) -> Truth:
    if data.density is None:
        raise MetricError(
            f"modes are counted where the density of the data is known (ring8, grid25), and that of {data.source} is "
            "not: leave modes out"
        )
    return Truth(torch.from_numpy(data.density.means), data.density.sigma)
