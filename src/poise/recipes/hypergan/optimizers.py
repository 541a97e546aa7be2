"""HyperGAN's optimizers: those of torch, by name."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from poise.config import OPTIMIZERS
from poise.errors import ConfigError
from poise.recipes.hypergan.draft import Draft
from poise.recipes.hypergan.fields import Fields, is_number, shown
from poise.recipes.hypergan.names import key, last_name

__all__ = ["is_optimizer", "read_optimizer"]

_CLASSES = MappingProxyType({name.lower(): value for name, value in OPTIMIZERS.items()})
_OTHER_NAMES = MappingProxyType({"gradientdescent": "sgd"})


def _class_of(name: Any) -> type[torch.optim.Optimizer] | None:
    plain = key(name, "optimizer")
    return _CLASSES.get(_OTHER_NAMES.get(plain, plain))


def is_optimizer(name: Any) -> bool:
    """Whether a class is an optimizer, known or not."""
    return key(name).endswith("optimizer") or _class_of(name) is not None


def read_optimizer(fields: Fields, draft: Draft) -> dict[str, Any]:
    """The settings of an optimizer: a class of torch with the options that it has.

    What is not said is torch's default, and not that of the recipe below. Of an optimizer around another the one inside
    is taken. One that torch lacks is Adam with the same learning rate and betas.

    Args:
        fields: the optimizer.
        draft: the recipe.

    Raises:
        ConfigError: when the learning rate is not above 0, or torch refuses the options.
    """
    cls = _class_of(fields.peek("class"))
    while cls is None and isinstance(fields.peek("optimizer"), dict):
        inside = fields.object("optimizer")
        assert inside is not None
        fields.notes.warn(
            fields.path, f"there is no optimizer '{last_name(fields.peek('class'))}' here; the one inside is taken"
        )
        fields.ignore()
        fields, cls = inside, _class_of(inside.peek("class"))
    if cls is None:
        name = last_name(fields.peek("class"))
        what = f"there is no optimizer '{name}' here" if name else "it has no class"
        fields.notes.warn(fields.path, f"{what}; Adam with the same lr and betas is taken")
        cls = torch.optim.Adam
    fields.take("class")
    options = _options(fields, cls, draft.origin)
    fields.close()
    try:
        cls([torch.zeros(1, 1)], **options)
    except (TypeError, ValueError, RuntimeError) as error:
        place = ": ".join(filter(None, (draft.origin, fields.path)))
        raise ConfigError(f"{place}: torch.optim.{cls.__name__} refuses these options: {error}") from error
    return {"class": cls.__name__} | options


def _options(fields: Fields, cls: type[torch.optim.Optimizer], origin: str) -> dict[str, Any]:
    """The options that the class has, TensorFlow's names of some of them among others."""
    known = {name: it.default for name, it in inspect.signature(cls).parameters.items() if name != "params"}
    options: dict[str, Any] = {}
    for name, default in known.items():
        if name == "betas":
            options[name] = _betas(fields, default)
        elif name == "lr":
            options[name] = _lr(fields, float(default) if isinstance(default, int | float) else 1e-3, origin)
        else:
            value = fields.take(name, *_ALIASES.get(name, ()))
            if isinstance(value, bool | int | float):
                options[name] = value
            elif value is not None:
                fields.notes.warn(
                    fields.path_of(name), f"{shown(value)} is neither a number nor true or false; left out"
                )
    return options


_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType({"eps": ("epsilon",), "alpha": ("decay",)})


_LR = ("lr", "learn_rate", "learning_rate")


def _lr(fields: Fields, default: float, origin: str) -> float:
    """The learning rate; with 0, which torch takes, nothing would be learned."""
    path = next((fields.path_of(name) for name in _LR if name in fields), "")
    lr = fields.number(*_LR, default=default)
    if not lr > 0:
        raise ConfigError(f"{origin}: {path} is {lr:g}; a learning rate must be above 0, such as {default:g}")
    return lr


def _betas(fields: Fields, default: tuple[float, float]) -> list[float]:
    given = fields.take("betas")
    if given is None:
        pairs = zip(("beta1", "beta2"), default, strict=True)
        return [fields.number(name, default=beta, least=0) for name, beta in pairs]
    if isinstance(given, list) and len(given) == 2 and all(map(is_number, given)):
        return [float(it) for it in given]
    fields.notes.warn(
        fields.path_of("betas"), f"{shown(given)} is not a list of two numbers; {shown(list(default))} is taken"
    )
    return [float(beta) for beta in default]
