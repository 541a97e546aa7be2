"""Noise, and what does not depend on the input at all. Noise comes from torch's default generator."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Constant", "LearnedNoise", "Noise"]


class Noise(nn.Module):
    """Fresh noise from N(0, 1), whatever comes in.

    Args:
        shape: the shape of a sample.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to ``(n, *shape)``."""
        return torch.randn(x.shape[0], *self.shape, device=x.device, dtype=x.dtype)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return str(self.shape)


class LearnedNoise(nn.Module):
    r"""Noise added in a strength that is learned for each channel, from 0.

    .. math:: y_{c,p} = x_{c,p} + a_c\, \epsilon_p, \qquad \epsilon_p \sim N(0, 1)

    All channels of a position share its noise; the features of a vector, which has no positions, each have their own.

    Args:
        channels: channels of the input.

    Source: Karras et al. 2018, A Style-Based Generator Architecture, arXiv 1812.04948, section 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to the same shape."""
        noise = torch.randn_like(x[:, :1] if x.ndim > 2 else x)
        return x + self.strength.reshape(-1, *[1] * (x.ndim - 2)) * noise

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return str(len(self.strength))


class Constant(nn.Module):
    """A learned constant, from N(0, 1), whatever comes in.

    Args:
        shape: the shape of a sample.

    Source: Karras et al. 2018, A Style-Based Generator Architecture, arXiv 1812.04948, section 2.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to ``(n, *shape)``, every sample the same."""
        return self.weight.expand(x.shape[0], *self.weight.shape)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return str(tuple(self.weight.shape))
