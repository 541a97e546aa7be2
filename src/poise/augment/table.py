"""The table of augmentations."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from poise.augment.ada import ada
from poise.augment.augment import Augment
from poise.augment.diffaugment import diffaugment
from poise.augment.flip import flip

__all__ = ["AUGMENTS"]

AUGMENTS: Mapping[str, Callable[..., Augment]] = MappingProxyType(
    {
        "diffaugment": diffaugment,
        "ada": ada,
        "flip": flip,
    }
)
"""Every augmentation by its name: a function of its options, all of which have defaults."""
