r"""Which layers of a network have a weight that multiplies what comes in, and which of these scale it at run time.

A layer at an equalized learning rate keeps a weight w of one scale, and multiplies by :math:`c\, w`. It says so by an
attribute ``weight_scale``, the constant c. One rule holds for all such layers, one's own among them:

- how w begins is part of the layer, so initializers leave it alone: they would draw weights of the final size, which c
  would then make small once more;
- a spectral norm is that of :math:`c\, w`. As :math:`c\, w / \sigma(c\, w) = w / \sigma(w)`, whoever normalizes w sets
  ``weight_scale`` to 1.
"""

from collections.abc import Iterator
from typing import TypeGuard

from torch import nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["Drawn", "drawn", "is_drawn", "is_scaled", "weighted"]

Drawn = nn.Linear | _ConvNd


def is_scaled(layer: nn.Module) -> bool:
    """Whether a layer scales its weight at run time."""
    return hasattr(layer, "weight_scale")


def is_drawn(layer: nn.Module) -> TypeGuard[Drawn]:
    """Whether a layer is linear or a convolution, and has a weight that initializers draw."""
    return isinstance(layer, Drawn) and not is_scaled(layer)


def drawn(module: nn.Module) -> Iterator[Drawn]:
    """The layers in ``module``, itself included, whose weights initializers draw."""
    return (layer for layer in module.modules() if is_drawn(layer))


def weighted(module: nn.Module) -> Iterator[nn.Module]:
    """The layers in ``module``, itself included, whose weights a spectral norm is of.

    These are the layers of :func:`drawn`, all that scale their weight, and embeddings, which are linear in their class.
    """
    return (layer for layer in module.modules() if is_drawn(layer) or is_scaled(layer) or _is_embedding(layer))


def _is_embedding(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Embedding)
