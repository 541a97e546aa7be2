"""The trainer: the only code that updates weights.

It names no algorithm; loss, penalties, balance and networks are values that it is given.
"""

from poise.trainer.capacity import LARGEST_BATCH, largest_batch
from poise.trainer.devices import (
    EXECUTIONS,
    PRECISIONS,
    Choice,
    choose_execution,
    choose_precision,
    make_fabric,
    resolved_device,
)
from poise.trainer.hook import Hook
from poise.trainer.player import OptimizerFactory
from poise.trainer.randomness import latents, mix
from poise.trainer.state import pack, unpack
from poise.trainer.trainer import Trainer
from poise.trainer.warmup import Autoencoder, WarmUp

__all__ = [
    "EXECUTIONS",
    "LARGEST_BATCH",
    "PRECISIONS",
    "Autoencoder",
    "Choice",
    "Hook",
    "OptimizerFactory",
    "Trainer",
    "WarmUp",
    "choose_execution",
    "choose_precision",
    "largest_batch",
    "latents",
    "make_fabric",
    "mix",
    "pack",
    "resolved_device",
    "unpack",
]
