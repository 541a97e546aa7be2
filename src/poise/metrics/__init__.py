"""Metrics: numbers that say how far generated samples are from real ones. Tensors in, numbers out."""

from poise.metrics.classes import Classes, classes, per_class
from poise.metrics.frechet import Statistics, fid, statistics
from poise.metrics.kernel import Kid, kid
from poise.metrics.manifold import Prdc, coverage, density, prdc, precision, recall
from poise.metrics.memorization import Memorization, memorization
from poise.metrics.modes import Modes, modes
from poise.metrics.sliced_wasserstein import sliced_wasserstein
from poise.metrics.table import BETTER, METRICS, Evidence, Metric, Truth, metrics_of

__all__ = [
    "BETTER",
    "METRICS",
    "Classes",
    "Evidence",
    "Kid",
    "Memorization",
    "Metric",
    "Modes",
    "Prdc",
    "Statistics",
    "Truth",
    "classes",
    "coverage",
    "density",
    "fid",
    "kid",
    "memorization",
    "metrics_of",
    "modes",
    "per_class",
    "prdc",
    "precision",
    "recall",
    "sliced_wasserstein",
    "statistics",
]
