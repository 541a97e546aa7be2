"""The watch: it measures a training from time to time, says what goes wrong, and asks for a remedy where one is due."""

from poise.watch.probe import Probe, about_data, about_loss
from poise.watch.watch import Watch

__all__ = ["Probe", "Watch", "about_data", "about_loss"]
