"""poise trains generative adversarial networks that stay in balance.

Importing this package loads nothing else; its parts load when they are first named, so that
``import poise`` and the command line stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from poise import (
        augment,
        balance,
        config,
        constraints,
        data,
        diagnosis,
        ema,
        errors,
        hooks,
        losses,
        metrics,
        models,
        optimizers,
        parallel,
        penalties,
        recipes,
        report,
        runs,
        schedules,
        session,
        testing,
        tuning,
    )
    from poise.trainer import Trainer

_MODULES = (
    "augment",
    "balance",
    "config",
    "constraints",
    "data",
    "diagnosis",
    "ema",
    "errors",
    "hooks",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "parallel",
    "penalties",
    "recipes",
    "report",
    "runs",
    "schedules",
    "session",
    "testing",
    "trainer",
    "tuning",
)
_NAMES = {"Trainer": "trainer"}

__all__ = [
    "Trainer",
    "augment",
    "balance",
    "config",
    "constraints",
    "data",
    "diagnosis",
    "ema",
    "errors",
    "hooks",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "parallel",
    "penalties",
    "recipes",
    "report",
    "runs",
    "schedules",
    "session",
    "testing",
    "trainer",
    "tuning",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"poise.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"poise.{name}")
    raise AttributeError(f"module 'poise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
