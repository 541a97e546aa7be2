"""Networks: layers written as strings, presets for vectors and images, and how their weights begin.

:func:`build` makes a network of a list such as ``["conv 64 stride=2", "lrelu", "linear 1"]``; :data:`OPS` are what
such a list is made of, and :func:`summary` tells what a network costs.

A preset is a pair of functions that build a generator ``(z_dim, shape) -> nn.Module`` and a discriminator
``shape -> nn.Module``. Any ``nn.Module`` with the same inputs and outputs will do in their place: a generator takes
latents ``(n, z_dim)`` and gives samples ``(n, *shape)``; a discriminator takes samples and gives logits ``(n, 1)``, or
``(n, outputs)`` for a loss that wants several.

Networks of class labels, which presets build with ``classes=k``, take labels ``(n,)``, int64 from 0 to k - 1, beside
them: ``generator(z, labels)`` and ``discriminator(x, labels)``. They say so by an attribute ``classes``, the number k;
:func:`classes_of` reads it of any module, as 0 where there is none.
"""

from poise.models.began import BeganDiscriminator, began_discriminator, began_generator
from poise.models.build import build, initializer_of
from poise.models.conditional import Conditional, classes_of
from poise.models.dcgan import dcgan_discriminator, dcgan_generator
from poise.models.growing import Growing
from poise.models.initialize import INITIALIZERS, kaiming_, normal_, orthogonal_, xavier_
from poise.models.layered import LAYERS
from poise.models.mlp import mlp_discriminator, mlp_generator
from poise.models.network import Network
from poise.models.ops import OPS
from poise.models.presets import PRESETS, Preset
from poise.models.progressive import (
    ProgressiveDiscriminator,
    ProgressiveGenerator,
    progressive_discriminator,
    progressive_generator,
)
from poise.models.r3gan import r3gan_discriminator, r3gan_generator
from poise.models.recompute import recompute_
from poise.models.resnet import resnet_discriminator, resnet_generator
from poise.models.spectral import spectral_norm_
from poise.models.summary import Row, summary

__all__ = [
    "INITIALIZERS",
    "LAYERS",
    "OPS",
    "PRESETS",
    "BeganDiscriminator",
    "Conditional",
    "Growing",
    "Network",
    "Preset",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "Row",
    "began_discriminator",
    "began_generator",
    "build",
    "classes_of",
    "dcgan_discriminator",
    "dcgan_generator",
    "initializer_of",
    "kaiming_",
    "mlp_discriminator",
    "mlp_generator",
    "normal_",
    "orthogonal_",
    "progressive_discriminator",
    "progressive_generator",
    "r3gan_discriminator",
    "r3gan_generator",
    "recompute_",
    "resnet_discriminator",
    "resnet_generator",
    "spectral_norm_",
    "summary",
    "xavier_",
]
