"""Every loss by its name."""

from collections.abc import Mapping
from types import MappingProxyType

from poise.losses.batch import softmax, wasserstein_kl
from poise.losses.classic import hinge, lsgan, minimax, vanilla, wasserstein
from poise.losses.divergence import js, kl, neyman, pearson, reverse_kl, squared_hellinger, total_variation
from poise.losses.loss import AdversarialLoss
from poise.losses.outcome import realness
from poise.losses.pair import relativistic, relativistic_average

__all__ = ["LOSSES"]

LOSSES: Mapping[str, AdversarialLoss] = MappingProxyType(
    {
        "vanilla": vanilla(),
        "minimax": minimax(),
        "wasserstein": wasserstein(),
        "wasserstein_kl": wasserstein_kl(),
        "hinge": hinge(),
        "lsgan": lsgan(),
        "relativistic": relativistic(),
        "relativistic_average": relativistic_average(),
        "softmax": softmax(),
        "kl": kl(),
        "reverse_kl": reverse_kl(),
        "js": js(),
        "pearson": pearson(),
        "squared_hellinger": squared_hellinger(),
        "neyman": neyman(),
        "total_variation": total_variation(),
        "realness": realness(),
    }
)
"""Every loss by its name, with its default options. The function of the same name builds it with others."""
