"""Metrics: numbers that say how far generated samples are from real ones."""

from poise.metrics.sliced_wasserstein import sliced_wasserstein

__all__ = ["sliced_wasserstein"]
