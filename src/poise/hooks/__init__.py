"""Hooks that record a run: its log, sample pictures, evaluations and checkpoints, and what may stop it."""

from poise.hooks.evaluate import Evaluate
from poise.hooks.log import Log
from poise.hooks.samples import Samples
from poise.hooks.save import Save
from poise.hooks.stops import INTERRUPTIONS, Stops
from poise.trainer import Hook

__all__ = ["INTERRUPTIONS", "Evaluate", "Hook", "Log", "Samples", "Save", "Stops"]
