"""The trainer: the only code that updates weights.

It names no algorithm; loss, penalties, balance and networks are values that it is given.
"""

from poise.trainer.devices import PRECISIONS, make_fabric
from poise.trainer.hook import Hook
from poise.trainer.player import OptimizerFactory
from poise.trainer.randomness import latents, mix
from poise.trainer.state import pack, unpack
from poise.trainer.trainer import Trainer
from poise.trainer.warmup import Autoencoder, WarmUp

__all__ = [
    "PRECISIONS",
    "Autoencoder",
    "Hook",
    "OptimizerFactory",
    "Trainer",
    "WarmUp",
    "latents",
    "make_fabric",
    "mix",
    "pack",
    "unpack",
]
