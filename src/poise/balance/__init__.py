"""Balance: the policy that says which player moves next.

A policy's ``plan(step, signals)`` gives the phases of one step. A phase is a tuple of roles, ``"D"`` and ``"G"``, that
move together: all their gradients are taken at one snapshot of the weights, then all are updated. This package knows
no torch; a policy sees numbers only.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from poise.balance.adaptive import AdaptiveCritic, Balanced, LossRatio, ProportionalControl
from poise.balance.feedback import Feedback
from poise.balance.fixed import Accumulate, Alternating, Simultaneous
from poise.balance.policy import Balance, Combine, Phase, Plan, Role

__all__ = [
    "BALANCES",
    "Accumulate",
    "AdaptiveCritic",
    "Alternating",
    "Balance",
    "Balanced",
    "Combine",
    "Feedback",
    "LossRatio",
    "Phase",
    "Plan",
    "ProportionalControl",
    "Role",
    "Simultaneous",
]

BALANCES: Final[Mapping[str, type[Balance]]] = MappingProxyType(
    {
        "alternating": Alternating,
        "simultaneous": Simultaneous,
        "balanced": Balanced,
        "accumulate": Accumulate,
        "adaptive_critic": AdaptiveCritic,
        "loss_ratio": LossRatio,
        "proportional_control": ProportionalControl,
        "auto": Feedback,
    }
)
"""Every policy by its name."""
