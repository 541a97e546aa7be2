"""Every metric by its name: what it measures on, what numbers it gives, and which way each is better."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from poise.errors import MetricError
from poise.errors import nearest as nearest_name
from poise.metrics.classes import classes
from poise.metrics.frechet import Statistics, fid
from poise.metrics.kernel import kid
from poise.metrics.manifold import Prdc, prdc
from poise.metrics.memorization import memorization
from poise.metrics.modes import modes
from poise.metrics.sliced_wasserstein import sliced_wasserstein

__all__ = ["BETTER", "METRICS", "Evidence", "Metric", "Numbers", "Truth", "metrics_of"]

Numbers = dict[str, Any]


class Truth(NamedTuple):
    """A mixture of Gaussians that the data was drawn from.

    Attributes:
        means: ``(k, d)``, in the units of the data.
        sigma: the standard deviation along each axis.
        weights: of the modes, ``(k,)``; None where they are equal.
    """

    means: Tensor
    sigma: float
    weights: Tensor | None = None


class Evidence(Protocol):
    """What metrics look at. Each may be computed when it is first asked for, and refused with a MetricError."""

    seed: int

    @property
    def real(self) -> Tensor:
        """Features of real samples, ``(n, d)``."""

    @property
    def fake(self) -> Tensor:
        """Features of fake samples, ``(m, d)``."""

    @property
    def statistics(self) -> Statistics:
        """Those of :attr:`real`."""

    @property
    def train(self) -> Tensor:
        """Features of all that the generator was trained on, ``(N, d)``."""

    @property
    def real_values(self) -> Tensor:
        """Real samples themselves, flattened, ``(n, d)``, float32: pixels, or vectors in units that can be compared."""

    @property
    def fake_values(self) -> Tensor:
        """Fake samples, likewise."""

    @property
    def fake_raw(self) -> Tensor:
        """Fake samples as files have them, flattened, ``(m, d)``, float32."""

    @property
    def truth(self) -> Truth:
        """The density of the data."""

    @property
    def labels(self) -> Tensor:
        """The labels of all that the generator was trained on, ``(N,)``."""

    @property
    def classes(self) -> int:
        """How many classes there are."""

    @property
    def fake_classes(self) -> Tensor:
        """The class of each fake sample, as a classifier sees it, ``(m,)``."""


class Metric(NamedTuple):
    """An entry of the table.

    Attributes:
        measure: gives its numbers by name.
        numbers: each number that it gives, and when it is good: ``lower``, ``higher``, or in words for one by which
            generators are not ranked. Spreads and histograms are not among them.
        space: the features that it is measured on, whatever was chosen; empty for the chosen ones; ``values`` for raw
            ones of images, and for the chosen ones of vectors, which are these themselves.
    """

    measure: Callable[[Evidence], Numbers]
    numbers: Mapping[str, str]
    space: str = ""


def _fid(it: Evidence) -> Numbers:
    """The Fréchet distance of Gaussians fitted to features."""
    return {"fid": fid(it.statistics, it.fake)}


def _kid(it: Evidence) -> Numbers:
    """The squared MMD of features under a cubic kernel, unbiased, and its spread over blocks."""
    found = kid(it.real, it.fake, seed=it.seed)
    return {"kid": found.mean, "kid_std": found.std}


def _prdc(it: Evidence) -> Numbers:
    """Precision, recall, density and coverage of features."""
    return prdc(it.real, it.fake)._asdict()


def _modes(it: Evidence) -> Numbers:
    """Captured modes, the share of good samples and KL divergences over modes, where the density is known."""
    found = modes(it.fake_raw, *it.truth)
    return {
        "mixture_kl": found.mixture_kl,
        "modes": found.captured,
        "high_quality": found.high_quality,
        "modes_kl": found.kl,
    }


def _classes(it: Evidence) -> Numbers:
    """The classes that samples are of, and their KL divergence from those of the data."""
    found = classes(it.fake_classes, it.labels, it.classes)
    shares = [round(share, 6) for share in found.shares.tolist()]
    return {"classes": found.captured, "classes_kl": found.kl, "class_shares": shares}


def _memorization(it: Evidence) -> Numbers:
    """Whether samples are nearer to the training data than new data would be."""
    found = memorization(it.fake, it.train)
    return {"memorization": found.nearer, "memorization_z": found.z}


def _swd(it: Evidence) -> Numbers:
    """The sliced Wasserstein distance of the values themselves."""
    return {"swd": sliced_wasserstein(it.real_values, it.fake_values, seed=it.seed)}


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "fid": Metric(_fid, {"fid": "lower"}),
        "kid": Metric(_kid, {"kid": "lower"}),
        "prdc": Metric(_prdc, dict.fromkeys(Prdc._fields, "higher")),
        "modes": Metric(
            _modes,
            # The first is what a checkpoint is chosen by where nothing else is said.
            {"mixture_kl": "lower", "modes": "higher", "high_quality": "higher", "modes_kl": "lower"},
            space="raw",
        ),
        "classes": Metric(_classes, {"classes": "higher", "classes_kl": "lower"}, space="classifier"),
        "memorization": Metric(
            _memorization,
            {
                "memorization": "0.5; near 1 for copies",
                "memorization_z": "0; below -3 nearer than new data: copies, or samples all alike",
            },
        ),
        "swd": Metric(_swd, {"swd": "lower"}, space="values"),
    }
)
"""Every metric by its name."""

BETTER: Mapping[str, str] = MappingProxyType(
    {number: way for metric in METRICS.values() for number, way in metric.numbers.items() if way in ("lower", "higher")}
)
"""Every number by which generators can be ranked, and which way it is better."""


def metrics_of(names: Iterable[str]) -> tuple[str, ...]:
    """The metrics that are meant: each by its name, or by that of a number it gives, as ``precision`` for ``prdc``.

    >>> metrics_of(["kid", "recall", "precision"])
    ('kid', 'prdc')

    Raises:
        MetricError: naming the one that is not known.
    """
    by_number = {number: name for name, metric in METRICS.items() for number in metric.numbers}
    known = by_number | {name: name for name in METRICS}
    for name in names:
        if name not in known:
            raise MetricError(f"there is no metric '{name}' {nearest_name(name, known)}")
    return tuple(dict.fromkeys(known[name] for name in names))
