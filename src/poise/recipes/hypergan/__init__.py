"""HyperGAN's JSON files as recipes.

A file of HyperGAN 1.x (its PyTorch versions) is a whole model, or one component: a trainer, a hook, a loss, a latent, a
network or an optimizer. What has a meaning here becomes settings over the recipe ``vanilla``. What has none, or another
one, becomes a :class:`Note`, so that nothing is dropped without a word. Classes are known by their last name; nothing
that a file names is imported or run.

==================  ==================================================================================
HyperGAN            here
==================  ==================================================================================
trainer             ``balance``; its optimizers are ``g_optimizer`` and ``d_optimizer``
hooks               ``penalties``, ``constraints``, the optimizers' ``wrap``, ``warmup``
loss                ``loss``
latent              ``z_dim``; latents are drawn from N(0, 1), whatever the distribution
layers              ``{class: layers, layers: [...]}``; a layer that is none here is an error
input               ``size`` and ``batch``
==================  ==================================================================================
"""

from poise.recipes.hypergan.fields import Note
from poise.recipes.hypergan.model import BASE, Imported, convert, convert_file

__all__ = ["BASE", "Imported", "Note", "convert", "convert_file"]
