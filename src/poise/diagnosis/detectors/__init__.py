"""Every detector by its kind, causes before what follows from them."""

from collections.abc import Mapping
from types import MappingProxyType

from poise.diagnosis.detectors.broken import (
    dead_start,
    dead_units,
    exploding_gradients,
    huge_steps,
    non_finite,
    wrong_sign,
)
from poise.diagnosis.detectors.data import data_starved, degenerate_data
from poise.diagnosis.detectors.players import (
    discriminator_wins,
    generator_wins,
    memorization,
    vanishing_generator_gradient,
)
from poise.diagnosis.detectors.samples import (
    augmentation_leak,
    checkerboard,
    mode_collapse,
    oscillation,
    range_mismatch,
    saturated_output,
)
from poise.diagnosis.detectors.scores import no_progress, past_best
from poise.diagnosis.detectors.sign import Detector, Sign

__all__ = ["DETECTORS", "Detector", "Sign"]

_LOG, _METRICS, _PROBES = frozenset({"log"}), frozenset({"metrics"}), frozenset({"probes"})

DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "non_finite": Detector(non_finite, frozenset({"log", "events"})),
        "wrong_sign": Detector(wrong_sign, _PROBES),
        "degenerate_data": Detector(degenerate_data, _PROBES),
        "data_starved": Detector(data_starved, _LOG),
        "range_mismatch": Detector(range_mismatch, _PROBES),
        "huge_steps": Detector(huge_steps, _PROBES),
        "dead_start": Detector(dead_start, _LOG),
        "exploding_gradients": Detector(exploding_gradients, _LOG),
        "saturated_output": Detector(saturated_output, _PROBES),
        "memorization": Detector(memorization, _PROBES),
        "vanishing_generator_gradient": Detector(vanishing_generator_gradient, _LOG),
        "discriminator_wins": Detector(discriminator_wins, _PROBES),
        "generator_wins": Detector(generator_wins, _PROBES),
        "mode_collapse": Detector(mode_collapse, _PROBES | _METRICS),
        "dead_units": Detector(dead_units, _PROBES),
        "oscillation": Detector(oscillation, _PROBES),
        "augmentation_leak": Detector(augmentation_leak, _PROBES),
        "past_best": Detector(past_best, _METRICS),
        "no_progress": Detector(no_progress, _PROBES | _METRICS),
        "checkerboard": Detector(checkerboard, _PROBES),
    }
)
"""Every detector by the kind of its findings: of those equally severe, the first is the likeliest cause."""
