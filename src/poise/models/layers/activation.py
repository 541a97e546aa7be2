"""Activations whose second derivative torch lacks."""

from torch import Tensor, nn
from torch.nn.functional import relu6

__all__ = ["Hardsigmoid"]


class Hardsigmoid(nn.Module):
    r""":math:`y = \min(\max(x + 3, 0), 6) / 6`, as :class:`torch.nn.Hardsigmoid`, and differentiable twice."""

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to the same shape."""
        return relu6(x + 3) / 6
