"""Features that samples are compared by, each a function of samples as files have them."""

from poise.metrics.features.classifier import Classifier, classifier
from poise.metrics.features.dinov2 import Dinov2, dinov2
from poise.metrics.features.extractor import Examples, Extractor, Progress, Workplace
from poise.metrics.features.inception import Inception, inception
from poise.metrics.features.raw import Raw, raw
from poise.metrics.features.table import FEATURES, Features

__all__ = [
    "FEATURES",
    "Classifier",
    "Dinov2",
    "Examples",
    "Extractor",
    "Features",
    "Inception",
    "Progress",
    "Raw",
    "Workplace",
    "classifier",
    "dinov2",
    "inception",
    "raw",
]
