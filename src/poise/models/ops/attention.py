"""Attention."""

from collections import OrderedDict

from torch import nn

from poise.models.arguments import Count
from poise.models.layers import (
    ChannelAttention,
    EfficientAttention,
    MultiHeadAttention,
    SegmentSoftmax,
    SelfAttention,
)
from poise.models.ops.linear import CONVOLUTIONS
from poise.models.site import Made, MisfitError, RefusedError, Site

__all__ = ["attention", "channel_attention", "efficient_attention", "multi_head_attention", "segment_softmax"]


def attention(site: Site) -> Made:
    """What comes in plus, in a learned strength from 0, SAGAN's attention over positions (Zhang et al. 2018)."""
    site.require(3, 2)
    return SelfAttention(site.channels), site.shape


def channel_attention(site: Site, channels: Count | None = None, *, reduction: Count = 16) -> Made:
    """Squeeze and excitation (Hu et al. 2017); where ``channels`` is given, a 1 x 1 convolution to so many."""
    site.require(3, 2)
    attention = ChannelAttention(site.channels, reduction)
    if channels is None:
        return attention, site.shape
    conv = CONVOLUTIONS[len(site.shape)](site.channels, channels, 1)
    return nn.Sequential(OrderedDict(attention=attention, conv=conv)), (channels, *site.positions)


def efficient_attention(
    site: Site,
    channels: Count | None = None,
    *,
    heads: Count = 4,
    key_channels: Count = 16,
    value_channels: Count = 16,
) -> Made:
    """Attention over positions at a linear cost, without a shortcut (Shen et al. 2018)."""
    site.require(3, 2)
    if key_channels % heads or value_channels % heads:
        raise RefusedError(
            f"needs heads that divide {key_channels} key and {value_channels} value channels", at="heads"
        )
    channels = channels or site.channels
    module = EfficientAttention(site.channels, channels, heads, key_channels, value_channels)
    return module, (channels, *site.positions)


def multi_head_attention(site: Site, channels: Count | None = None, *, heads: Count = 4) -> Made:
    """Attention over positions with several heads (Vaswani et al. 2017); of a vector, two linear maps.

    A vector is one position, and the softmax of one number is 1: whatever queries and keys are, the maps of values and
    of what is found remain, and they alone are made.
    """
    if site.channels % heads:
        raise MisfitError(f"needs heads that divide the {site.channels} channels, not {heads}", at="heads")
    channels = channels or site.channels
    shape = (channels, *site.positions)
    if site.positions:
        return MultiHeadAttention(site.channels, channels, heads), shape
    value, out = nn.Linear(site.channels, site.channels), nn.Linear(site.channels, channels)
    return nn.Sequential(OrderedDict(value=value, out=out)), shape


def segment_softmax(site: Site, channels: Count) -> Made:
    """Each of so many channels a mixture of K, by the softmax of K others (HyperGAN)."""
    if site.channels % (2 * channels):
        raise MisfitError(f"needs a multiple of {2 * channels} channels", at="channels")
    return SegmentSoftmax(channels), (channels, *site.positions)
