"""How several gradients of G become one: see :class:`~poise.balance.Accumulate`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from poise.balance import Combine

__all__ = ["GATHERINGS", "Average", "gathering"]


def gathering(plan: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """A plan of D's moves and then one of G, with G's gradient taken beside each: ``+G`` keeps it for G's move.

    G moves with the last move of D, whose snapshot it shares. Any other plan stays as it is.
    """
    *before, last = plan
    if last != ("G",) or not before or set(before) != {("D",)}:
        return plan
    return (("D", "+G"),) * (len(before) - 1) + (("D", "G"),)


class Average:
    r"""Their average :math:`\bar g`.

    Args:
        gradients: the first ones, one tensor a weight.
    """

    def __init__(self, gradients: Sequence[Tensor]) -> None:
        self.sum = [gradient.clone() for gradient in gradients]
        self.count = 1

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Gather the next ones."""
        torch._foreach_add_(self.sum, list(gradients))
        self.count += 1

    def result(self) -> list[Tensor]:
        """What they become."""
        return list(torch._foreach_div(self.sum, float(self.count)))


class Agree(Average):
    """The average, but 0 where a gradient has not the sign of the sum of those before it."""

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Gather the next ones."""
        agree = [(total * gradient > 0).to(gradient) for total, gradient in zip(self.sum, gradients, strict=True)]
        super().add(gradients)
        torch._foreach_mul_(self.sum, agree)


class Variance(Average):
    r"""The average times :math:`\bar g^2 / (\bar g^2 + s^2)`, with the variance :math:`s^2`: that is, over E[g^2]."""

    def __init__(self, gradients: Sequence[Tensor]) -> None:
        super().__init__(gradients)
        self.squares = [gradient.square() for gradient in gradients]

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Gather the next ones."""
        super().add(gradients)
        torch._foreach_addcmul_(self.squares, list(gradients), list(gradients))

    def result(self) -> list[Tensor]:
        """What they become."""
        # mean^2 + s^2 = E[g^2], so the factor is mean^2 / E[g^2]; it is 0 where all gradients are 0.
        return [
            torch.where(squares > 0, mean * mean.square() / (squares / self.count), 0.0)
            for mean, squares in zip(super().result(), self.squares, strict=True)
        ]


GATHERINGS: Mapping[Combine, type[Average]] = MappingProxyType(
    {"average": Average, "agree": Agree, "variance": Variance}
)
"""Every way by its name."""
