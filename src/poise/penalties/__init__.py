r"""Penalties: further terms of a player's objective.

A penalty is any callable of a :class:`Scene`, which is one deal of the game as the players see it: real samples x,
latents z, the fakes G(z), and what D makes of them. It gives one value a sample, ``(n,)``, or one number for what has
no value a sample, such as a network's weights; the caller takes the mean, times the weight. It is differentiable with
respect to the weights of the player that it goes to: most go to the discriminator, those with ``to = "G"`` to the
generator, unless :class:`Weighted` says otherwise. One that depends on one player's weights alone, as most on D's input
gradient do, is refused for the other (:func:`acts_on`).

Most penalties are on D's input gradient: a :class:`GradientPenalty` is where it is taken, times what is done with it.
:func:`gradient_penalty` takes any penalty that needs no generator of a critic and two batches.

A penalty has no state. One that must remember something keeps tensors in the scene's ``memory``, under names that
begin with the scene's ``entry`` and a dot; two penalties of a kind then have two memories.
"""

from poise.penalties.anchor import lecam
from poise.penalties.consistency import bcr, zcr, zcr_g
from poise.penalties.distance import adversarial_norm, gradient_norm
from poise.penalties.feature import feature_matching
from poise.penalties.gradient import (
    GradientPenalty,
    dragan,
    input_gradient_norm,
    max_gp,
    r1,
    r2,
    roth,
    wgan_gp,
    zero_gp,
)
from poise.penalties.layers import layer_named
from poise.penalties.penalty import Penalty, Weighted, acts_on, gradient_penalty, log_name, player_of
from poise.penalties.scene import Deal, Scene, Side, View
from poise.penalties.table import MEASURES, PENALTIES
from poise.penalties.weight import orthogonal

__all__ = [
    "MEASURES",
    "PENALTIES",
    "Deal",
    "GradientPenalty",
    "Penalty",
    "Scene",
    "Side",
    "View",
    "Weighted",
    "acts_on",
    "adversarial_norm",
    "bcr",
    "dragan",
    "feature_matching",
    "gradient_norm",
    "gradient_penalty",
    "input_gradient_norm",
    "layer_named",
    "lecam",
    "log_name",
    "max_gp",
    "orthogonal",
    "player_of",
    "r1",
    "r2",
    "roth",
    "wgan_gp",
    "zcr",
    "zcr_g",
    "zero_gp",
]
