"""Networks: presets for vectors and images, and how their weights begin.

A preset is a pair of functions that build a generator ``(z_dim, shape) -> nn.Module`` and a discriminator
``shape -> nn.Module``. Any ``nn.Module`` with the same inputs and outputs will do in their place: a generator takes
latents ``(n, z_dim)`` and gives samples ``(n, *shape)``; a discriminator takes samples and gives logits ``(n, 1)``.
"""

from poise.models.dcgan import dcgan_discriminator, dcgan_generator
from poise.models.initialize import normal_
from poise.models.mlp import mlp_discriminator, mlp_generator
from poise.models.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Preset",
    "dcgan_discriminator",
    "dcgan_generator",
    "mlp_discriminator",
    "mlp_generator",
    "normal_",
]
