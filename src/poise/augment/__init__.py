"""Augmentations of real and fake images alike, so that the discriminator cannot learn the real ones by heart.

An augmentation is a function of images ``(n, c, h, w)`` in [-1, 1] and a probability p; :data:`AUGMENTS` has all by
their names. Applied to reals and fakes, in both players' moves, it lets the generator learn the distribution of
unchanged images from few of them (Zhao et al. 2020; Karras et al. 2020). :class:`Augmented` says which one and how
likely; :class:`Adaptive` moves p by what the discriminator says of reals.

All draw from torch's default generator of the images' device, can be differentiated twice, and neither wait for the
device nor decide anything in Python by what was drawn, so that they can be compiled and recorded.
"""

from poise.augment.ada import ada
from poise.augment.adaptive import Adaptive
from poise.augment.augment import Augment, Augmented
from poise.augment.diffaugment import diffaugment
from poise.augment.flip import flip
from poise.augment.table import AUGMENTS

__all__ = [
    "AUGMENTS",
    "Adaptive",
    "Augment",
    "Augmented",
    "ada",
    "diffaugment",
    "flip",
]
