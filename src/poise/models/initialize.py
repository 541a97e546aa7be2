"""How weights begin."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["normal_"]


def normal_(module: nn.Module, std: float = 0.02) -> nn.Module:
    """Draw every weight from N(0, std), the scales of batch norms from N(1, std), and set biases to 0; in place.

    Args:
        module: the network.
        std: the standard deviation, above 0.

    Returns:
        The same module.

    Source: Radford et al. 2015, DCGAN, arXiv 1511.06434, section 4.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            if layer.affine:
                nn.init.normal_(layer.weight, 1.0, std)
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
