"""Attention over positions, over channels, and over segments of channels.

Softmax and matrix products are written out: torch's fused attention has no second derivative on CUDA, which gradient
penalties need.
"""

from math import sqrt

import torch
from torch import Tensor, nn

__all__ = ["ChannelAttention", "EfficientAttention", "MultiHeadAttention", "SegmentSoftmax", "SelfAttention"]


class SelfAttention(nn.Module):
    r"""SAGAN's attention: each position adds what it finds at others.

    .. math::
        \beta_{ji} = \frac{\exp(f(x_i)^\top g(x_j))}{\sum_{i'} \exp(f(x_{i'})^\top g(x_j))}, \qquad
        o_j = v\Big(\sum_i \beta_{ji}\, h(x_i)\Big), \qquad y_j = \gamma\, o_j + x_j

    with 1 x 1 convolutions f, g, h to an eighth of the channels (at least one), v back to all, and :math:`\gamma`
    learned from 0.

    Args:
        channels: channels of the input.

    Source: Zhang et al. 2018, Self-Attention Generative Adversarial Networks, arXiv 1805.08318, equations 1 to 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.f = nn.Conv1d(channels, inner, 1, bias=False)
        self.g = nn.Conv1d(channels, inner, 1, bias=False)
        self.h = nn.Conv1d(channels, inner, 1, bias=False)
        self.v = nn.Conv1d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to the same shape."""
        line = x.flatten(2)
        weights = (self.f(line).transpose(1, 2) @ self.g(line)).softmax(1)  # (n, i, j), a sum of 1 over i
        found: Tensor = self.v(self.h(line) @ weights)
        return x + self.gamma * found.reshape(x.shape)


class ChannelAttention(nn.Module):
    r"""Squeeze and excitation: each channel is scaled by what all channels are on average.

    .. math:: y_c = x_c \cdot \sigma\big(W_2 \max(0, W_1 \bar x + b_1) + b_2\big)_c

    with :math:`\bar x` the mean over positions.

    Args:
        channels: channels of the input.
        reduction: W1 maps to so many times fewer channels, at least one.

    Source: Hu et al. 2017, Squeeze-and-Excitation Networks, arXiv 1709.01507, section 3.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to the same shape."""
        scale: Tensor = self.excite(self.squeeze(x.flatten(2).mean(2)).relu()).sigmoid()
        return x * scale.reshape(*scale.shape, *[1] * (x.ndim - 2))


class MultiHeadAttention(nn.Module):
    r"""Self-attention over positions with several heads, and a linear map of what they find.

    .. math:: y = W_o \big[\operatorname{softmax}(Q_m K_m^\top / \sqrt{d})\, V_m\big]_{m = 1 \dots M}

    where head m has the m-th share of d features of the linear maps Q, K and V of each position's channels.

    Args:
        channels: channels of the input; heads divide them.
        out_channels: channels of the output.
        heads: M.

    Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3.2.
    """

    def __init__(self, channels: int, out_channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to ``(n, out_channels, ...)``."""
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, positions, d)
            for layer in (self.query, self.key, self.value)
        )
        weights = (query @ key.transpose(2, 3) / sqrt(query.shape[3])).softmax(3)
        found: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return found.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])


class EfficientAttention(nn.Module):
    r"""Attention whose cost is linear in the number of positions.

    .. math:: y = W_o \big[\rho_q(Q_m)\, \big(\rho_k(K_m)^\top V_m\big)\big]_{m = 1 \dots M}

    with 1 x 1 convolutions Q, K, V of which head m has the m-th share, the softmax :math:`\rho_q` over a head's
    features at each position, and :math:`\rho_k` over the positions for each feature.

    Args:
        channels: channels of the input.
        out_channels: channels of the output.
        heads: M, which divides both of the following.
        key_channels: features of Q and K.
        value_channels: features of V.

    Source: Shen et al. 2018, Efficient Attention: Attention with Linear Complexities, arXiv 1812.01243.
    """

    def __init__(
        self, channels: int, out_channels: int, heads: int = 4, key_channels: int = 16, value_channels: int = 16
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv1d(channels, key_channels, 1)
        self.key = nn.Conv1d(channels, key_channels, 1)
        self.value = nn.Conv1d(channels, value_channels, 1)
        self.out = nn.Conv1d(value_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to ``(n, out_channels, ...)``."""
        line = x.flatten(2)
        query, key, value = (
            layer(line).unflatten(1, (self.heads, -1))  # (n, heads, features, positions)
            for layer in (self.query, self.key, self.value)
        )
        context = key.softmax(3) @ value.transpose(2, 3)  # (n, heads, key features, value features)
        found: Tensor = self.out((context.transpose(2, 3) @ query.softmax(2)).flatten(1, 2))
        return found.reshape(x.shape[0], -1, *x.shape[2:])


class SegmentSoftmax(nn.Module):
    r"""Each output channel is a mixture of K input channels, by weights that other K give.

    The first half of the channels is content u, the second half votes v, each K times ``channels``:

    .. math:: y_c = \sum_{k=1}^{K} \frac{\exp(v_{k,c})}{\sum_{k'} \exp(v_{k',c})}\, u_{k,c}

    Args:
        channels: channels of the output; twice as many divide those of the input.

    Source: HyperGAN 1.x, layer ``segment_softmax``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 2 K channels, ...)`` to ``(n, channels, ...)``."""
        content, votes = x.reshape(x.shape[0], 2, -1, self.channels, *x.shape[2:]).unbind(1)
        return (votes.softmax(1) * content).sum(1)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return str(self.channels)
