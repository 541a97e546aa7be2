"""Hooks that record a run: log, sample pictures, evaluations, checkpoints; that stop it; that show it elsewhere."""

from poise.hooks.evaluate import Evaluate
from poise.hooks.log import Log
from poise.hooks.mirror import Mirror, Sink
from poise.hooks.samples import Samples
from poise.hooks.save import Save, SaveFirst
from poise.hooks.stops import INTERRUPTIONS, Stops
from poise.hooks.viewers import HOOKS
from poise.trainer import Hook

__all__ = [
    "HOOKS",
    "INTERRUPTIONS",
    "Evaluate",
    "Hook",
    "Log",
    "Mirror",
    "Samples",
    "Save",
    "SaveFirst",
    "Sink",
    "Stops",
]
