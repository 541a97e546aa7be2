"""Detectors: pure functions from the numbers that a run logs to findings. This package imports no torch."""

from poise.diagnosis.course import how_measured
from poise.diagnosis.detectors.scores import is_score
from poise.diagnosis.diagnosis import Diagnosis, diagnose, standing
from poise.diagnosis.finding import Finding, Severity

__all__ = ["Diagnosis", "Finding", "Severity", "diagnose", "how_measured", "is_score", "standing"]
