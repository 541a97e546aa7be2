"""Linear layers, from and to any shape."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["EqualLinear", "Linear"]


class Linear(nn.Linear):
    """A linear layer that flattens what comes in and gives what goes out a shape.

    Args:
        features: values of a sample that come in.
        shape: the shape of a sample that goes out.
        bias: whether there is a bias.
    """

    def __init__(self, features: int, shape: Sequence[int], bias: bool = True) -> None:
        super().__init__(features, prod(shape), bias)
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to ``(n, *shape)``."""
        return super().forward(x.flatten(1)).reshape(x.shape[0], *self.shape)


class EqualLinear(nn.Module):
    r"""A linear layer at an equalized learning rate: weights of one scale, brought to size at run time.

    .. math:: y = \frac{\lambda g}{\sqrt{d}}\, W x + \lambda b, \qquad W \sim N(0, 1 / \lambda^2)

    for d values in. So every weight has the same dynamic range, and Adam moves all at the same relative speed.

    Args:
        features: values of a sample that come in, d.
        shape: the shape of a sample that goes out.
        bias: whether there is a bias.
        lr_mul: the factor :math:`\lambda` of this layer's learning rate, above 0.
        gain: the factor g for what the activation takes away; :math:`\sqrt 2` is He's for relu.
        bias_start: what :math:`\lambda b` is at first.

    Source: Karras et al. 2017, Progressive Growing of GANs, arXiv 1710.10196, section 4.1; the factor: Karras et al.
    2018, A Style-Based Generator Architecture, arXiv 1812.04948, appendix C.
    """

    def __init__(
        self,
        features: int,
        shape: Sequence[int],
        bias: bool = True,
        lr_mul: float = 1.0,
        gain: float = 1.0,
        bias_start: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.lr_mul = lr_mul
        self.weight_scale = lr_mul * gain / sqrt(features)
        self.weight = nn.Parameter(torch.randn(prod(shape), features) / lr_mul)
        self.bias = nn.Parameter(torch.full((prod(shape),), bias_start / lr_mul)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to ``(n, *shape)``."""
        bias = None if self.bias is None else self.lr_mul * self.bias
        return linear(x.flatten(1), self.weight_scale * self.weight, bias).reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return f"{self.weight.shape[1]}, {self.shape}, bias={self.bias is not None}, lr_mul={self.lr_mul}"
