"""Balance: the policy that says which player moves next.

A policy's ``plan(step, signals)`` gives the phases of one step. A phase is a tuple of roles, ``"D"`` and ``"G"``, that
move together: all their gradients are taken at one snapshot of the weights, then all are updated. This module knows no
torch; a policy sees numbers only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

__all__ = ["BALANCES", "Alternating", "Balance", "Phase", "Plan", "Role", "Simultaneous"]

Role = Literal["D", "G"]
Phase = tuple[Role, ...]
Plan = tuple[Phase, ...]


class Balance(ABC):
    """A policy. Subclasses are final; the state of one that has any is in the checkpoint."""

    @abstractmethod
    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """Say who moves in this step.

        Args:
            step: the number of steps done before this one.
            signals: the latest numbers by their log names (``d_real``, ``d_fake``, ...), averaged over all ranks. One
                that is not known yet is missing. Reading one may wait for the device, so a policy reads what it needs.

        Returns:
            The phases, in order.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs, as JSON values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state, but was given {sorted(state)}")


def _count(name: str, value: int, least: int) -> int:
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")
    return value


def _pretrain(pretrain_d: int) -> int:
    return _count("pretrain_d", pretrain_d, 0)


class Alternating(Balance):
    """D moves ``d_steps`` times, each on a new batch, then G ``g_steps`` times.

    Args:
        d_steps: updates of D a step, at least 1.
        g_steps: updates of G a step, at least 1.
        pretrain_d: in the first so many steps only D moves, once a step.

    Raises:
        ValueError: when a count is out of range.

    Source: Goodfellow et al. 2014, arXiv 1406.2661, algorithm 1.
    """

    def __init__(self, d_steps: int = 1, g_steps: int = 1, pretrain_d: int = 0) -> None:
        self.d_steps: Final = _count("d_steps", d_steps, 1)
        self.g_steps: Final = _count("g_steps", g_steps, 1)
        self.pretrain_d: Final = _pretrain(pretrain_d)

    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """D ``d_steps`` times, then G ``g_steps`` times, whatever the signals say."""
        if step < self.pretrain_d:
            return (("D",),)
        return (("D",),) * self.d_steps + (("G",),) * self.g_steps


class Simultaneous(Balance):
    """Both players move at once, from one snapshot of the weights.

    Args:
        pretrain_d: in the first so many steps only D moves.

    Raises:
        ValueError: when ``pretrain_d`` is negative.

    Source: Mescheder et al. 2017, The Numerics of GANs, arXiv 1705.10461, algorithm 1.
    """

    def __init__(self, pretrain_d: int = 0) -> None:
        self.pretrain_d: Final = _pretrain(pretrain_d)

    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """One phase of both, whatever the signals say."""
        return (("D",),) if step < self.pretrain_d else (("D", "G"),)


BALANCES: Final[Mapping[str, type[Balance]]] = MappingProxyType(
    {"alternating": Alternating, "simultaneous": Simultaneous}
)
"""Every policy by its name."""
