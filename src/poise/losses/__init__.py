r"""Adversarial losses: for each player a pure function of logits.

Write :math:`a = D(x)` for the logits of real samples and :math:`b = D(G(z))` for those of fakes. A loss is a pair of
functions ``(real_logits, fake_logits) -> (n,)``: one value a sample, unreduced; the caller takes the mean. Both players
minimize. Logits are never probabilities, and a higher one means more real.

Logits come one a sample, ``(n,)`` or ``(n, 1)``, or many (patches, ``(n, 1, h, w)``). Many are treated as the sources
do: the loss is taken of every logit and averaged within its sample. Both arguments must have one shape, because ``(n,
1)`` against ``(n,)`` would silently broadcast to ``(n, n)``. :func:`realness` alone reads a sample's logits as one
vector, ``(n, outcomes)``.

Where a value depends on a real and on a fake, it is that of the pair with its index; what the whole batch shares stands
in every value.
"""

from poise.losses.batch import softmax, wasserstein_kl
from poise.losses.classic import hinge, lsgan, minimax, vanilla, wasserstein
from poise.losses.divergence import js, kl, neyman, pearson, reverse_kl, squared_hellinger, total_variation
from poise.losses.loss import (
    AdversarialLoss,
    judges_by_sign,
    looks_at_batch,
    opposes,
    per_sample,
    pushes_real_up,
    require_values,
)
from poise.losses.outcome import realness
from poise.losses.pair import relativistic, relativistic_average
from poise.losses.table import LOSSES

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "hinge",
    "js",
    "judges_by_sign",
    "kl",
    "looks_at_batch",
    "lsgan",
    "minimax",
    "neyman",
    "opposes",
    "pearson",
    "per_sample",
    "pushes_real_up",
    "realness",
    "relativistic",
    "relativistic_average",
    "require_values",
    "reverse_kl",
    "softmax",
    "squared_hellinger",
    "total_variation",
    "vanilla",
    "wasserstein",
    "wasserstein_kl",
]
