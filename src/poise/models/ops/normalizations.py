"""Normalizations."""

from math import prod

from torch import nn

from poise.models.arguments import Count, Positive, Share
from poise.models.layers import AdaptiveInstanceNorm, EzNorm, MinibatchStddev, PixelNorm, Styled
from poise.models.site import Made, MisfitError, Site

__all__ = [
    "adaptive_instance_norm",
    "batch_norm",
    "ez_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "minibatch_stddev",
    "pixel_norm",
]

_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}
_INSTANCE_NORMS = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d}


def batch_norm(site: Site, *, affine: bool = True, momentum: Share = 0.1, eps: Positive = 1e-5) -> Made:
    """Batch normalization of each channel."""
    return _BATCH_NORMS[len(site.shape)](site.channels, eps, momentum, affine), site.shape


def instance_norm(site: Site, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each channel of each sample normalized over its positions."""
    site.require(3, 2)
    if prod(site.positions) < 2:
        raise MisfitError("takes at least two positions: of one, nothing but the mean is left")
    return _INSTANCE_NORMS[len(site.shape)](site.channels, eps, affine=affine), site.shape


def layer_norm(site: Site, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each sample normalized over all its values."""
    if prod(site.shape) < 2:
        raise MisfitError("takes at least two values: of one, nothing but the mean is left")
    return nn.LayerNorm(site.shape, eps, affine), site.shape


def group_norm(site: Site, groups: Count = 32, *, affine: bool = True, eps: Positive = 1e-5) -> Made:
    """Each of so many groups of channels of each sample normalized over its values."""
    if site.channels % groups:
        raise MisfitError(f"needs groups that divide the {site.channels} channels, not {groups}", at="groups")
    if prod(site.shape) < 2 * groups:
        raise MisfitError("takes at least two values a group: of one, nothing but the mean is left", at="groups")
    return nn.GroupNorm(groups, site.channels, eps, affine), site.shape


def pixel_norm(site: Site) -> Made:
    """The channels at each position divided by their root mean square (Karras et al. 2017)."""
    return PixelNorm(), site.shape


def adaptive_instance_norm(site: Site, *, style: str = "w") -> Made:
    """Instance normalization with a scale and a shift from the layer named by ``style`` (Huang and Belongie 2017)."""
    site.require(3, 2)
    features = prod(site.shape_of(style, at="style"))
    return Styled(AdaptiveInstanceNorm(site.channels, features), style), site.shape


def ez_norm(site: Site, *, style: str = "w") -> Made:
    """A linear map of the layer named by ``style``, times a 1 x 1 convolution to one channel (HyperGAN)."""
    site.require(3, 2)
    features = prod(site.shape_of(style, at="style"))
    return Styled(EzNorm(site.channels, features), style), site.shape


def minibatch_stddev(site: Site, *, group: Count | None = None) -> Made:
    """One more channel: how much the samples of the batch, or of each ``group``, differ (Karras et al. 2017)."""
    return MinibatchStddev(group), (site.channels + 1, *site.positions)
