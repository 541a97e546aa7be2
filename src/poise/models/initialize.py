"""How weights begin: functions that draw a network's weights anew, in place.

Each draws the weights of linear layers and of convolutions, and sets their biases to 0. Layers that scale their weights
at run time keep theirs (see :mod:`poise.models.weights`).
"""

from collections.abc import Callable, Mapping
from math import prod, sqrt
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from poise.models.weights import Drawn, drawn, is_drawn

__all__ = ["INITIALIZERS", "kaiming_", "normal_", "orthogonal_", "xavier_"]


def normal_(module: nn.Module, mean: float = 0.0, std: float = 0.02) -> nn.Module:
    """Draw every weight from N(mean, std), the scales of batch norms from N(1, std), and set biases to 0; in place.

    Args:
        module: the network.
        mean: the mean of the weights.
        std: the standard deviation, above 0.

    Returns:
        The same module.

    Source: Radford et al. 2015, DCGAN, arXiv 1511.06434, section 4.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)
        elif is_drawn(layer):
            _draw(layer, lambda weight: nn.init.normal_(weight, mean, std))
    return module


def xavier_(module: nn.Module, gain: float = 1.0) -> nn.Module:
    r"""Draw every weight from a normal distribution by its inputs and outputs; in place.

    .. math:: N(0,\; \mathrm{gain}^2 \cdot 2 / (n_{in} + n_{out}))

    :math:`n_{in}` and :math:`n_{out}` are the connections of a unit to the layer before and after it. With c and c'
    channels in and out, k taps and s strides over all dimensions, and g groups these are, on average over positions,
    :math:`c k / g` and :math:`c' k / (g s)` of a convolution: every s-th position meets a tap. A transposed one is read
    backwards: :math:`c k / (g s)` and :math:`c' k / g`.

    Args:
        module: the network.
        gain: a factor for what the activation takes away, such as :math:`\sqrt 2` for relu.

    Returns:
        The same module.

    Source: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, equation
    12.
    """
    for layer in drawn(module):
        _draw_normal(layer, gain * sqrt(2 / sum(_fans(layer))))
    return module


def kaiming_(module: nn.Module, slope: float = 0.0) -> nn.Module:
    r"""Draw every weight from a normal distribution by its inputs; in place.

    .. math:: N(0,\; 2 / ((1 + \mathrm{slope}^2)\, n_{in}))

    :math:`n_{in}` is as in :func:`xavier_`, and so regards the strides of transposed convolutions.

    Args:
        module: the network.
        slope: of the leaky ReLU that follows the layers; 0 is a ReLU.

    Returns:
        The same module.

    Source: He et al. 2015, Delving Deep into Rectifiers, arXiv 1502.01852, section 2.2.
    """
    for layer in drawn(module):
        _draw_normal(layer, sqrt(2 / ((1 + slope**2) * _fans(layer)[0])))
    return module


def orthogonal_(module: nn.Module, gain: float = 1.0) -> nn.Module:
    """Make every weight a random matrix with orthonormal rows (or columns, where there are fewer); in place.

    A convolution's weight is taken as a matrix with a row for each index of its first dimension.

    Args:
        module: the network.
        gain: a factor.

    Returns:
        The same module.

    Source: Saxe et al. 2013, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks,
    arXiv 1312.6120.
    """
    for layer in drawn(module):
        _draw(layer, lambda weight: nn.init.orthogonal_(weight, gain))
    return module


def _fans(layer: Drawn) -> tuple[float, float]:
    """Connections of a unit to the layer before it and after it, on average over positions."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    taps = prod(layer.kernel_size) / layer.groups
    strides = prod(layer.stride)
    before, after = layer.in_channels * taps, layer.out_channels * taps
    return (before / strides, after) if layer.transposed else (before, after / strides)


def _draw_normal(layer: Drawn, std: float) -> None:
    _draw(layer, lambda weight: nn.init.normal_(weight, 0.0, std))


def _draw(layer: Drawn, draw: Callable[[Tensor], object]) -> None:
    """Draw a layer's weight in place, and set its bias to 0."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if not parametrize.is_parametrized(layer, "weight"):
        draw(layer.weight)
        return
    # The weight of a layer under spectral norm is computed anew at each look; what is learned is set through it.
    weight = layer.weight.detach().clone()
    draw(weight)
    was_training = layer.training
    layer.train()
    with torch.no_grad():
        layer.weight = weight
        for _ in range(15):  # in training, each look is an iteration of the power method towards the new norm
            _ = layer.weight
    layer.train(was_training)


INITIALIZERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "normal": normal_,
        "xavier": xavier_,
        "xavier_normal": xavier_,
        "kaiming": kaiming_,
        "kaiming_normal": kaiming_,
        "orthogonal": orthogonal_,
    }
)
"""Every initializer by its name: ``(module, ...) -> module``, in place. Layer strings have them as ``initializer=``."""
