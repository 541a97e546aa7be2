"""Spectral normalization of whole networks."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from poise.models.weights import is_scaled, weighted

__all__ = ["normalize", "spectral_norm_"]


def normalize(layer: nn.Module) -> None:
    """Divide the weight of one layer, by which it multiplies what comes in, by its largest singular value."""
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

    Source: Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv 1802.05957.
    """
    for layer in list(weighted(module)):
        normalize(layer)
    return module
