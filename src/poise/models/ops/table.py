"""Every op by its name."""

from collections.abc import Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

from poise.models.activations import ACTIVATIONS
from poise.models.ops import attention, branches, linear, normalizations, sizes
from poise.models.site import Made, Op, Site

__all__ = ["OPS"]


def _only(op: Op, *ranks: int) -> Op:
    """The op, where one of these ranks comes in."""

    @wraps(op)
    def only(site: Site, *arguments: Any, **options: Any) -> Made:
        site.require(*ranks)
        return op(site, *arguments, **options)

    return only


OPS: Mapping[str, Op] = MappingProxyType(
    {
        # Linear layers and convolutions.
        "linear": linear.linear,
        "equal_linear": linear.equal_linear,
        "conv": linear.conv,
        "conv1d": _only(linear.conv, 2),
        "conv2d": _only(linear.conv, 3),
        "deconv": linear.deconv,
        "resize_conv": linear.resize_conv,
        "resize_conv1d": _only(linear.resize_conv, 2),
        "resize_conv2d": _only(linear.resize_conv, 3),
        "subpixel": linear.subpixel,
        "modulated_conv2d": linear.modulated_conv2d,
        # Sizes and shapes.
        "upsample": sizes.upsample,
        "pixel_shuffle": sizes.pixel_shuffle,
        "blur": sizes.blur,
        "avg_pool": sizes.avg_pool,
        "adaptive_avg_pool": sizes.adaptive_avg_pool,
        "adaptive_avg_pool1d": _only(sizes.adaptive_avg_pool, 2),
        "flatten": sizes.flatten,
        "reshape": sizes.reshape,
        "split": sizes.split,
        "pad": sizes.pad,
        "identity": sizes.identity,
        "dropout": sizes.dropout,
        # Normalizations.
        "batch_norm": normalizations.batch_norm,
        "batch_norm1d": _only(normalizations.batch_norm, 1, 2),
        "instance_norm": normalizations.instance_norm,
        "instance_norm1d": _only(normalizations.instance_norm, 2),
        "layer_norm": normalizations.layer_norm,
        "group_norm": normalizations.group_norm,
        "pixel_norm": normalizations.pixel_norm,
        "adaptive_instance_norm": normalizations.adaptive_instance_norm,
        "ez_norm": normalizations.ez_norm,
        "minibatch_stddev": normalizations.minibatch_stddev,
        # Layers by name, and several at once.
        "layer": branches.layer,
        "latent": branches.latent,
        "noise": branches.noise,
        "learned_noise": branches.learned_noise,
        "const": branches.const,
        "add": branches.add,
        "mul": branches.mul,
        "cat": branches.cat,
        "residual": branches.residual,
        # Attention.
        "attention": attention.attention,
        "channel_attention": attention.channel_attention,
        "efficient_attention": attention.efficient_attention,
        "multi_head_attention": attention.multi_head_attention,
        "segment_softmax": attention.segment_softmax,
        # Activations.
        **ACTIVATIONS,
        "softmax2d": _only(ACTIVATIONS["softmax2d"], 3),
    }
)
"""Every op by its name; the first line of its docstring says what it does."""
