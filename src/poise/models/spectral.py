"""Spectral normalization of whole networks."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from poise.errors import ConfigError
from poise.models.weights import is_scaled, weighted

__all__ = ["normalize", "spectral_norm_"]


def normalize(layer: nn.Module) -> None:
    """Divide the weight of one layer, by which it multiplies what comes in, by its largest singular value.

    Raises:
        ConfigError: when the weight is 0, as the last ones of r3gan's blocks are at first.
    """
    weight = layer.weight
    if isinstance(weight, Tensor) and not weight.is_meta and not weight.any():
        raise ConfigError(
            f"the weight of a {type(layer).__name__} begins at 0, which has no direction to keep: leave spectral_norm "
            "out for this network, or initialize its weights otherwise before"
        )
    if is_scaled(layer):
        # The norm divides any scale out.
        layer.weight_scale = 1.0  # type: ignore[assignment]
    spectral_norm(layer)


def spectral_norm_(module: nn.Module) -> nn.Module:
    r"""Divide the weight of every linear and convolutional layer and embedding by its largest singular value; in place.

    .. math:: \bar W = W / \sigma(W), \qquad \sigma(W) = \max_{\|h\|_2 \le 1} \|W h\|_2

    The weight of a convolution is taken as the matrix of its output channels by everything else; that of a layer which
    scales it at run time, with the scale. :math:`\sigma` is approximated by the power method, which goes on by one
    iteration with every pass in training mode.

    Args:
        module: the network. Initialize its weights before: their names change.

    Returns:
        The same module.

    Raises:
        ConfigError: when a weight is 0.

    Source: Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv 1802.05957.
    """
    for layer in list(weighted(module)):
        normalize(layer)
    return module
