"""Residual networks, for square images whose side is a power of two from 8 to 256.

Source: Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv 1802.05957, appendix B,
whose networks for CIFAR-10 and ImageNet are those for sides of 32 and 128 here, at the width 64. Those for 64 and 256
are of the code that the authors published with it; those for 8 and 16 are the ones for 32 with fewer blocks. Weights
begin as in that code: Xavier's uniform distribution, with a gain of the square root of 2 inside residual branches.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from poise.models.checks import require_positive, square
from poise.models.conditional import Projection, chain, joined, projected, require_classes, sequence
from poise.models.layers import Wired, run
from poise.models.norm import Norm, norm2d, require_norm
from poise.models.spectral import spectral_norm_

__all__ = ["resnet_discriminator", "resnet_generator"]

# In units of the width, by the side of the images: the channels at 4 x 4, then of each block, which doubles the side.
_GENERATOR: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        8: (4, 4),
        16: (4, 4, 4),
        32: (4, 4, 4, 4),
        64: (16, 8, 4, 2, 1),
        128: (16, 16, 8, 4, 2, 1),
        256: (16, 16, 8, 8, 4, 2, 1),
    }
)

# Likewise: the channels of the blocks that halve the side, and of those that keep it.
_DISCRIMINATOR: Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]] = MappingProxyType(
    {
        8: ((2,), (2, 2)),
        16: ((2, 2), (2, 2)),
        32: ((2, 2), (2, 2)),
        64: ((1, 2, 4, 8, 16), ()),
        128: ((1, 2, 4, 8, 16), (16,)),
        256: ((1, 2, 4, 8, 8, 16), (16,)),
    }
)


def _convolution(inputs: int, outputs: int, size: int, gain: float = 1.0, bias: bool = True) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class _UpBlock(Wired):
    """Doubles the side: normalization, ReLU and convolution, twice, the first time on repeated pixels; plus a shortcut.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        norm: ``batch``, or ``none``.
        classes: of the batch norms.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, classes: int) -> None:
        super().__init__()
        layers = [
            *norm2d(inputs, norm, classes),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _convolution(inputs, outputs, 3, sqrt(2), bias=norm == "none"),
            *norm2d(outputs, norm, classes),
            nn.ReLU(),
            _convolution(outputs, outputs, 3, sqrt(2)),
        ]
        self.residual = chain(layers, classes)
        self.shortcut = _convolution(inputs, outputs, 1)

    def forward(self, x: Tensor, kept: dict[str, Tensor] | None = None) -> Tensor:
        # A 1 x 1 convolution and the repetition of pixels commute: the cheaper order of the two.
        shortcut = interpolate(self.shortcut(x), scale_factor=2)
        return run([("0", self.residual)], x, kept or {}) + shortcut


class _DownBlock(nn.Module):
    """Keeps the side or halves it by average pooling: ReLU and convolution, twice, plus a shortcut.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        halve: halve the side.
        first: take images, which no ReLU may clip; the branch then widens in its first convolution, else in its second.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool = False) -> None:
        super().__init__()
        hidden = outputs if first else inputs
        self.residual = nn.Sequential(
            *([] if first else [nn.ReLU()]),
            _convolution(inputs, hidden, 3, sqrt(2)),
            nn.ReLU(),
            _convolution(hidden, outputs, 3, sqrt(2)),
            *([nn.AvgPool2d(2)] if halve else []),
        )
        self.shortcut = _convolution(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()
        self.halve = halve

    def forward(self, features: Tensor) -> Tensor:
        # A 1 x 1 convolution and average pooling commute: the cheaper order of the two.
        shortcut = self.shortcut(avg_pool2d(features, 2) if self.halve else features)
        summed: Tensor = self.residual(features) + shortcut
        return summed


class _SumPool(nn.Module):
    """The sum over all pixels, ``(n, c, h, w)`` to ``(n, c)``."""

    def forward(self, features: Tensor) -> Tensor:
        return features.sum((2, 3))


def resnet_generator(
    z_dim: int, shape: Sequence[int], width: int = 64, norm: Norm = "batch", classes: int = 0
) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to images ``(n, *shape)`` in [-1, 1].

    Args:
        z_dim: the latent dimension; 128 in the paper.
        shape: ``(channels, side, side)``.
        width: the unit of the channels: 4 times as many everywhere up to a side of 32; above, from 16 times as many at
            4 x 4 to once as many at full size. 64 is the paper's.
        norm: ``batch``, or ``none``.
        classes: classes of labels that the generator takes beside latents; 0 for none. Each class has its own gains and
            biases of batch norms, as in Miyato and Koyama 2018; without these, latents are joined with a vector of
            their class.

    Raises:
        ShapeError: when the shape is none that these networks make.
        ConfigError: when the width is below 1, ``classes`` below 0, or there is no such ``norm``.
    """
    channels, side = square("resnet", shape, tuple(_GENERATOR))
    require_norm(norm)
    require_positive(width=width)
    require_classes(classes)
    widths = [width * multiple for multiple in _GENERATOR[side]]
    start, features = joined(z_dim, classes if norm == "none" else 0)
    layers = [
        *start,
        _linear(features, 16 * widths[0]),
        nn.Unflatten(1, (widths[0], 4, 4)),
        *(_UpBlock(inputs, outputs, norm, classes) for inputs, outputs in pairwise(widths)),
        *norm2d(widths[-1], norm, classes),
        nn.ReLU(),
        _convolution(widths[-1], channels, 3),
        nn.Tanh(),
    ]
    return sequence(layers, classes)


def resnet_discriminator(
    shape: Sequence[int], width: int = 64, spectral_norm: bool = False, outputs: int = 1, classes: int = 0
) -> nn.Sequential:
    """Images ``(n, *shape)`` to logits ``(n, outputs)``.

    Args:
        shape: ``(channels, side, side)``.
        width: the unit of the channels: twice as many everywhere up to a side of 32; above, from once as many in the
            first block to 16 times as many in the last. 64 is the paper's.
        spectral_norm: divide every weight by its largest singular value, as the paper does.
        outputs: logits a sample.
        classes: classes of labels that the discriminator takes beside samples; 0 for none. Their projection is on the
            summed features, as in Miyato and Koyama 2018, arXiv 1802.05637.

    Raises:
        ShapeError: when the shape is none that these networks take.
        ConfigError: when ``width`` or ``outputs`` is below 1, or ``classes`` below 0.
    """
    channels, side = square("resnet", shape, tuple(_DISCRIMINATOR))
    require_positive(width=width, outputs=outputs)
    halving, keeping = _DISCRIMINATOR[side]
    widths = [channels, *(width * multiple for multiple in (*halving, *keeping))]
    blocks = [
        _DownBlock(before, after, halve=number < len(halving), first=number == 0)
        for number, (before, after) in enumerate(pairwise(widths))
    ]
    head = projected(_linear(widths[-1], outputs), widths[-1], outputs, classes)
    if isinstance(head, Projection):
        nn.init.xavier_uniform_(head.vectors.weight)
    network = sequence([*blocks, nn.ReLU(), _SumPool(), head], classes)
    if spectral_norm:
        spectral_norm_(network)
    return network
