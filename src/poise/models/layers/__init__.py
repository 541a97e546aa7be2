"""The layers that torch does not have. They are plain modules and know nothing of how layers are written."""

from poise.models.layers.activation import Hardsigmoid
from poise.models.layers.attention import (
    ChannelAttention,
    EfficientAttention,
    MultiHeadAttention,
    SegmentSoftmax,
    SelfAttention,
)
from poise.models.layers.convolution import Blur, EqualConv2d, ModulatedConv2d
from poise.models.layers.linear import EqualLinear, Linear
from poise.models.layers.noise import Constant, LearnedNoise, Noise
from poise.models.layers.normalization import AdaptiveInstanceNorm, EzNorm, MinibatchStddev, PixelNorm
from poise.models.layers.shape import Reshape, Split
from poise.models.layers.wiring import COMBINATIONS, INPUT, Chain, Combine, Recall, Residual, Styled, Wired, run

__all__ = [
    "COMBINATIONS",
    "INPUT",
    "AdaptiveInstanceNorm",
    "Blur",
    "Chain",
    "ChannelAttention",
    "Combine",
    "Constant",
    "EfficientAttention",
    "EqualConv2d",
    "EqualLinear",
    "EzNorm",
    "Hardsigmoid",
    "LearnedNoise",
    "Linear",
    "MinibatchStddev",
    "ModulatedConv2d",
    "MultiHeadAttention",
    "Noise",
    "PixelNorm",
    "Recall",
    "Reshape",
    "Residual",
    "SegmentSoftmax",
    "SelfAttention",
    "Split",
    "Styled",
    "Wired",
    "run",
]
