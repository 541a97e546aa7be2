r"""BEGAN: a discriminator that is an autoencoder, for square images whose side is a power of two from 8 to 256.

Source: Berthelot et al. 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks, arXiv 1703.10717, section
3.5 and figure 1: 3 x 3 convolutions, each followed by an ELU; an encoder that halves the side by strides of 2 down to
8 x 8 while its channels grow linearly; a decoder that doubles it by repeating pixels; and linear layers to and from the
embedding between the two. Of the refinements that the paper calls optional (vanishing residuals and skip connections)
there is none. The paper names no initialization: weights begin by Xavier's uniform distribution, biases at 0.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from poise.errors import ConfigError
from poise.models.checks import require_positive, square
from poise.models.conditional import require_unconditional

__all__ = ["BeganDiscriminator", "began_discriminator", "began_generator"]

_SIDES = (8, 16, 32, 64, 128, 256)

_SMALLEST = 8


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.ELU()]


def _initialized(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _decoder(hidden: int, channels: int, side: int, width: int) -> nn.Sequential:
    """Vectors ``(n, hidden)`` to images."""
    layers: list[nn.Module] = [
        nn.Linear(hidden, width * _SMALLEST**2),
        nn.Unflatten(1, (width, _SMALLEST, _SMALLEST)),
        *_convolution(width, width),
        *_convolution(width, width),
    ]
    for _ in range((side // _SMALLEST).bit_length() - 1):
        layers += [nn.Upsample(scale_factor=2), *_convolution(width, width), *_convolution(width, width)]
    return _initialized(nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1)))


def _encoder(channels: int, side: int, width: int, hidden: int) -> nn.Sequential:
    """Images to vectors ``(n, hidden)``."""
    stages = (side // _SMALLEST).bit_length()
    layers = _convolution(channels, width)
    for stage in range(1, stages + 1):
        layers += [*_convolution(stage * width, stage * width), *_convolution(stage * width, stage * width)]
        if stage < stages:
            layers += _convolution(stage * width, (stage + 1) * width, stride=2)
    return _initialized(
        nn.Sequential(*layers, nn.Flatten(), nn.Linear(stages * width * _SMALLEST**2, hidden)),
    )


class BeganDiscriminator(nn.Module):
    r"""An autoencoder R whose logit is minus its reconstruction error, so that a higher one is more real.

    .. math:: D(x) = -L(x), \qquad L(x) = \frac1d \sum_{i=1}^d |x_i - R(x)_i|^\eta

    With the ``wasserstein`` loss D minimizes :math:`L(x) - L(G(z))` and G minimizes :math:`L(G(z))`.

    Args:
        encoder: samples ``(n, ...)`` to embeddings.
        decoder: embeddings to samples, unbounded.
        eta: the power, 1 or 2.

    Raises:
        ConfigError: when ``eta`` is neither 1 nor 2.

    Source: Berthelot et al. 2017, arXiv 1703.10717, section 3.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, eta: Literal[1, 2] = 1) -> None:
        super().__init__()
        if eta not in (1, 2):
            raise ConfigError(f"eta is {eta}; it must be 1 (absolute errors) or 2 (squared errors)")
        self.encoder = encoder
        self.decoder = decoder
        self.eta = eta

    def reconstruct(self, samples: Tensor) -> Tensor:
        """What is left of samples ``(n, ...)`` after the embedding, in the same shape and unbounded."""
        reconstructed: Tensor = self.decoder(self.encoder(samples))
        return reconstructed

    def forward(self, samples: Tensor) -> Tensor:
        """Logits ``(n, 1)``, at most 0."""
        errors = (samples - self.reconstruct(samples)).flatten(1)
        return -(errors.abs() if self.eta == 1 else errors.square()).mean(1, keepdim=True)


def began_generator(z_dim: int, shape: Sequence[int], width: int = 64, classes: int = 0) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)``: the architecture of the discriminator's decoder.

    As in the paper the last layer is linear: samples may leave [-1, 1], and are clipped where they become pictures.

    Args:
        z_dim: the latent dimension; 64 in the paper, which draws latents uniformly from [-1, 1].
        shape: ``(channels, side, side)``.
        width: channels of every stage; 128 in the paper's largest network, for a side of 128.
        classes: 0: there is no network of this preset that takes labels.

    Raises:
        ShapeError: when the shape is none that BEGAN makes.
        ConfigError: when the width is below 1, or there are classes.
    """
    require_unconditional("began", classes)
    channels, side = square("began", shape, _SIDES)
    require_positive(width=width)
    return _decoder(z_dim, channels, side, width)


def began_discriminator(
    shape: Sequence[int], width: int = 64, hidden: int = 64, eta: Literal[1, 2] = 1, classes: int = 0
) -> BeganDiscriminator:
    """Images ``(n, *shape)`` to logits ``(n, 1)``: minus the error of reconstructing them.

    Args:
        shape: ``(channels, side, side)``.
        width: channels of the encoder's first stage; the k-th has k times as many, and all of the decoder's once.
        hidden: the dimension of the embedding; 64 in the paper.
        eta: 1 for the mean absolute error, 2 for the mean squared error.
        classes: 0: there is no network of this preset that takes labels.

    Raises:
        ShapeError: when the shape is none that BEGAN takes.
        ConfigError: when ``width`` or ``hidden`` is below 1, ``eta`` is neither 1 nor 2, or there are classes.
    """
    require_unconditional("began", classes)
    channels, side = square("began", shape, _SIDES)
    require_positive(width=width, hidden=hidden)
    return BeganDiscriminator(_encoder(channels, side, width, hidden), _decoder(hidden, channels, side, width), eta)
