"""The watch: it measures a training from time to time, says what goes wrong, and asks for a remedy where one is due."""

from poise.watch.probe import Probe, about_data, about_loss
from poise.watch.remedies import HOPELESS, REMEDIES, Change, Remedy, acts, remedies
from poise.watch.watch import Watch

__all__ = ["HOPELESS", "REMEDIES", "Change", "Probe", "Remedy", "Watch", "about_data", "about_loss", "acts", "remedies"]
