"""From a config to the objects that it names."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from pydantic import ConfigDict, ValidationError, validate_call
from torch import nn

from poise import losses
from poise.balance import BALANCES
from poise.config.schema import Config, OptimizerConfig, Part
from poise.ema import Ema
from poise.errors import ConfigError, PoiseError, nearest
from poise.models import PRESETS
from poise.penalties import PENALTIES, Weighted
from poise.trainer import Trainer, mix

__all__ = ["build", "build_generator"]

T = TypeVar("T")


def build(config: Config, shape: Sequence[int], fabric: Fabric | None = None) -> Trainer:
    """The trainer that a config describes.

    Args:
        config: the settings.
        shape: the shape of a sample of the data.
        fabric: the device and precision.

    Raises:
        ConfigError: naming the field that is wrong.
    """
    # Weights begin as a function of the seed, the same on every rank, and no one else's random numbers move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, _INITIAL_WEIGHTS))
        generator = build_generator(config, shape)
        discriminator = _named(
            "discriminator", config.discriminator, {n: p.discriminator for n, p in PRESETS.items()}, shape=shape
        )
    loss = _named("loss", config.loss, {name: getattr(losses, name) for name in losses.LOSSES})
    unknown = next((name for name in config.penalties if name not in PENALTIES), None)
    if unknown is not None:
        raise ConfigError(f"penalties.{unknown}: there is no penalty '{unknown}' {nearest(unknown, PENALTIES)}")
    return Trainer(
        generator,
        discriminator,
        z_dim=config.z_dim,
        loss=loss,
        penalties={name: Weighted(PENALTIES[name], it.weight, it.every) for name, it in config.penalties.items()},
        balance=_named("balance", config.balance, BALANCES),
        g_optimizer=_optimizer("g_optimizer", config.g_optimizer),
        d_optimizer=_optimizer("d_optimizer", config.d_optimizer),
        ema=Ema(config.ema.half_life_kimg, config.ema.ramp_up),
        seed=config.seed,
        fabric=fabric,
    )


_INITIAL_WEIGHTS = 0x57


def build_generator(config: Config, shape: Sequence[int]) -> nn.Module:
    """The generator alone, for samples of ``shape``."""
    presets = {name: preset.generator for name, preset in PRESETS.items()}
    return _named("generator", config.generator, presets, z_dim=config.z_dim, shape=shape)


def _named(path: str, part: Part, table: Mapping[str, Callable[..., T]], **given: Any) -> T:
    """Call the entry that a part names with its options, each checked by name and type."""
    name = part.class_
    if name not in table:
        raise ConfigError(f"{path}: there is no {path} '{name}' {nearest(name, table)}")
    make = table[name]
    known = [parameter for parameter in inspect.signature(make).parameters if parameter not in given]
    _require_known(path, name, part.options, known)
    try:
        return _call(make, given | part.options)
    except ValidationError as error:
        entry = error.errors()[0]
        option = ".".join(map(str, entry["loc"]))
        raise ConfigError(f"{path}.{option} is {entry['input']!r}: {entry['msg'].lower()}") from error
    except PoiseError:
        raise
    except (ValueError, RuntimeError) as error:  # RuntimeError: more memory than there is, among others
        raise ConfigError(f"{path}: {error}") from error


def _call(make: Callable[..., T], options: Mapping[str, Any]) -> T:
    """Call a function or class with its arguments converted to and checked against its annotations."""
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))
    if not inspect.isclass(make):
        return checked(make)(**options)
    instance: Any = make.__new__(make)
    checked(make.__init__)(instance, **options)
    made: T = instance
    return made


def _require_known(path: str, name: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for option in options:
        if option not in known:
            raise ConfigError(f"{path}: {name} has no option '{option}' {nearest(option, known)}")


def _optimizer(path: str, settings: OptimizerConfig) -> Callable[..., torch.optim.Optimizer]:
    classes: dict[str, Callable[..., torch.optim.Optimizer]] = {
        name: value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        and value is not torch.optim.Optimizer
        and name not in _UNFIT
    }
    name = settings.class_
    if name not in classes:
        raise ConfigError(f"{path}.class: torch.optim has no '{name}' {nearest(name, classes)}")
    known = [parameter for parameter in inspect.signature(classes[name]).parameters if parameter != "params"]
    _require_known(path, name, settings.options, known)
    fused = (
        {"fused": True}
        if "fused" in known and not {"fused", "foreach", "differentiable"} & set(settings.options)
        else {}
    )

    def make(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        try:
            return classes[name](weights, **fused | settings.options)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"{path}: {name} refuses these options or these weights: {error}") from error

    return make


# LBFGS wants to evaluate the loss again and again, SparseAdam sparse gradients.
_UNFIT = ("LBFGS", "SparseAdam")
