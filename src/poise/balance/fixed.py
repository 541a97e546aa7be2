"""Policies that read no signals."""

from collections.abc import Mapping
from typing import Final, get_args

from poise.balance.policy import Combine, Plan, Pretraining, count

__all__ = ["Accumulate", "Alternating", "Simultaneous"]


class Alternating(Pretraining):
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
        super().__init__(pretrain_d)
        self.d_steps: Final = count("d_steps", d_steps, 1)
        self.g_steps: Final = count("g_steps", g_steps, 1)

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """D ``d_steps`` times, then G ``g_steps`` times."""
        return (("D",),) * self.d_steps + (("G",),) * self.g_steps


class Simultaneous(Pretraining):
    """Both players move at once, from one snapshot of the weights.

    Args:
        pretrain_d: in the first so many steps only D moves.

    Raises:
        ValueError: when ``pretrain_d`` is negative.

    Source: Mescheder et al. 2017, The Numerics of GANs, arXiv 1705.10461, algorithm 1.
    """

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """One phase of both."""
        return (("D", "G"),)


class Accumulate(Pretraining):
    r"""D moves ``n`` times while G's gradient is gathered, against each D that it meets; then G moves once along it.

    With the gradients :math:`g_1, \dots, g_n` of G, entry by entry:

    - ``average``: :math:`\bar g = \frac1n \sum_i g_i`.
    - ``agree``: the average, but 0 where some :math:`g_i` has not the sign of the sum of those before it.
    - ``variance``: :math:`\bar g \cdot \bar g^2 / (\bar g^2 + s^2)` with the variance :math:`s^2 = \frac1n \sum_i (g_i
      - \bar g)^2`: entries on which the gradients differ move less.

    Args:
        n: updates of D a step, at least 1. With 1, this is :class:`Simultaneous`.
        combine: ``average``, ``agree`` or ``variance``.
        pretrain_d: in the first so many steps only D moves, once a step.

    Raises:
        ValueError: when an argument is out of range.
    """

    def __init__(self, n: int = 3, combine: Combine = "average", pretrain_d: int = 0) -> None:
        super().__init__(pretrain_d)
        if combine not in get_args(Combine):
            raise ValueError(f"combine is {combine!r}; it must be one of {', '.join(get_args(Combine))}")
        self.n: Final = count("n", n, 1)
        self.combine = combine

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """D ``n`` times, then G."""
        return (("D",),) * self.n + (("G",),)
