"""The presets by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import nn

from poise.models.began import began_discriminator, began_generator
from poise.models.dcgan import dcgan_discriminator, dcgan_generator
from poise.models.mlp import mlp_discriminator, mlp_generator
from poise.models.progressive import progressive_discriminator, progressive_generator
from poise.models.r3gan import r3gan_discriminator, r3gan_generator
from poise.models.resnet import resnet_discriminator, resnet_generator

__all__ = ["PRESETS", "Preset"]


class Preset(NamedTuple):
    """A pair of builders.

    Attributes:
        generator: ``(z_dim, shape, **options) -> nn.Module``.
        discriminator: ``(shape, **options) -> nn.Module``.
    """

    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "mlp": Preset(mlp_generator, mlp_discriminator),
        "dcgan": Preset(dcgan_generator, dcgan_discriminator),
        "resnet": Preset(resnet_generator, resnet_discriminator),
        "r3gan": Preset(r3gan_generator, r3gan_discriminator),
        "progressive": Preset(progressive_generator, progressive_discriminator),
        "began": Preset(began_generator, began_discriminator),
    }
)
"""Every preset by its name."""
