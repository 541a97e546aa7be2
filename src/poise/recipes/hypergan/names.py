"""The names of classes, as HyperGAN's files write them.

``class:hypergan.trainers.balanced_trainer.BalancedTrainer`` names a class by the module that it was in. Modules moved,
so only the last name counts, whatever its case. Nothing is imported.
"""

from typing import Any

__all__ = ["key", "last_name"]


def last_name(value: Any) -> str:
    """``BalancedTrainer``; the empty text of what names no class."""
    return value.rpartition(":")[2].rpartition(".")[2].strip() if isinstance(value, str) else ""


def key(value: Any, *endings: str) -> str:
    """What a class is looked up by: its last name in lower case, without underscores and without one of ``endings``.

    >>> key("function:hypergan.train_hooks.max_gp_train_hook.MaxGpTrainHook", "trainhook", "hook")
    'maxgp'
    """
    name = last_name(value).lower().replace("_", "")
    for ending in endings:
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name
