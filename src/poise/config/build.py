"""From a config to the objects that it names."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isclose
from types import MappingProxyType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from poise import constraints, losses, penalties
from poise.augment import AUGMENTS, Adaptive, Augmented
from poise.balance import BALANCES
from poise.config.parts import Builder, options_of
from poise.config.schema import Config, OptimizerConfig, Part
from poise.constraints import CONSTRAINTS, Constrained
from poise.ema import Ema
from poise.errors import ConfigError, PoiseError, ShapeError
from poise.hooks import HOOKS
from poise.hooks.mirror import warn
from poise.losses import LOSSES, AdversarialLoss
from poise.models import LAYERS, PRESETS, Growing, Preset, initializer_of, recompute_
from poise.models.layers import MinibatchStddev
from poise.optimizers import WRAPPERS
from poise.penalties import PENALTIES, Scene, Weighted
from poise.runs import Run
from poise.schedules import SCHEDULES, Scheduled
from poise.trainer import (
    Autoencoder,
    Choice,
    Hook,
    OptimizerFactory,
    Trainer,
    WarmUp,
    choose_execution,
    choose_precision,
    make_fabric,
    mix,
    resolved_device,
)
from poise.trainer.checks import checked_layers, checked_share
from poise.trainer.devices import require_execution_for

__all__ = [
    "OPTIMIZERS",
    "build",
    "build_generator",
    "build_hooks",
    "execution_for",
    "fabric_for",
    "precision_for",
    "require_processes",
]

_INITIAL_WEIGHTS = 0x57

_NETWORKS: Mapping[str, Preset] = {**PRESETS, "layers": LAYERS}

OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = MappingProxyType(
    {
        name: value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        # LBFGS wants to evaluate the loss again and again, SparseAdam sparse gradients.
        and name not in ("Optimizer", "LBFGS", "SparseAdam")
    }
)
"""Every class of ``torch.optim`` that a config can name."""


def build(config: Config, shape: Sequence[int], fabric: Fabric | None = None, trust: Sequence[str] = ()) -> Trainer:
    """The trainer that a config describes.

    Args:
        config: the settings.
        shape: the shape of a sample of the data.
        fabric: the device and precision.
        trust: packages from which ``import:`` may take parts.

    Raises:
        ConfigError: naming the field that is wrong.
    """
    fabric = fabric or fabric_for(config, shape)
    make = Builder(trust, config.end_kimg)
    # Weights begin as a function of the seed, the same on every rank, and no one else's random numbers move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(config.seed, _INITIAL_WEIGHTS))
        generator = _generator(make, config, shape)
        discriminator = _discriminator(make, "discriminator", config.discriminator, shape, _classes(config))
        warmup = _warmup(make, config, shape, fabric.world_size)
        loss = make("loss", config.loss, {name: getattr(losses, name) for name in LOSSES}, AdversarialLoss)
        weighted = {name: _penalty(make, name, config) for name in config.penalties}
        _require_fit(config, loss, weighted, generator, discriminator, shape)
        networks = {"generator": generator, "discriminator": discriminator}
        for path, network in networks.items():
            _require_groups(path, network, config, fabric.world_size)
        if config.activation_checkpointing:
            for path, network in networks.items():
                _recompute(path, network)
    return Trainer(
        generator,
        discriminator,
        z_dim=config.z_dim,
        loss=loss,
        penalties=weighted,
        constraints=[_constraint(make, name, config) for name in config.constraints],
        balance=make("balance", config.balance, BALANCES),
        g_optimizer=_optimizer(make, "g_optimizer", config.g_optimizer),
        d_optimizer=_optimizer(make, "d_optimizer", config.d_optimizer),
        classes=len(config.classes),
        augment=_augment(make, config, shape),
        ema=_ema(make, config),
        top_k=_number(make, "top_k", config.top_k),
        warmup=warmup,
        seed=config.seed,
        fabric=fabric,
        execution=execution_for(config, shape, fabric).value,
        accumulate=config.accumulate,
    )


def fabric_for(config: Config, shape: Sequence[int], device: str = "auto", devices: int = 1, nodes: int = 1) -> Fabric:
    """The devices and precision of a config, for samples of ``shape``; one of several processes is to be launched.

    Args:
        config: the settings.
        shape: of a sample.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        devices: processes on each machine, each with a device of its own.
        nodes: machines.

    Raises:
        ConfigError: when so many processes cannot train it.
        DeviceError: when the devices are not there, or the precision is none.
    """
    require_processes(config, devices * nodes)
    precision = precision_for(config, shape, device).value
    return make_fabric(device, precision, config.deterministic, devices, nodes)


def require_processes(config: Config, count: int) -> None:
    """Refuse settings that so many processes cannot train.

    Raises:
        ConfigError: when they cannot share a batch evenly, or execute moves in that way.
    """
    require_execution_for(count, config.execution)
    if config.batch != "auto":
        checked_share(config.batch, count)


def precision_for(config: Config, shape: Sequence[int], device: str = "auto") -> Choice:
    """The precision of a config on a device, and why."""
    return choose_precision(config.precision, resolved_device(device), shape)


def execution_for(config: Config, shape: Sequence[int], fabric: Fabric) -> Choice:
    """How a config's moves are carried out on a device, and why."""
    return choose_execution(
        config.execution, fabric.device.type, len(shape) > 1, config.expected_steps, fabric.world_size
    )


def build_generator(config: Config, shape: Sequence[int], trust: Sequence[str] = ()) -> nn.Module:
    """The generator alone, for samples of ``shape``, as a checkpoint's weights fit it."""
    make = Builder(trust, config.end_kimg)
    generator = _generator(make, config, shape)
    for constraint, to, _ in (_constraint(make, name, config) for name in config.constraints):
        if to == "G":
            constraint.prepare(generator)
    return generator


def build_hooks(
    config: Config, run: Run, trust: Sequence[str] = (), failed: Callable[[str, Exception], None] = warn
) -> list[Hook]:
    """The hooks that a config names, and those of one's own.

    Args:
        config: the settings.
        run: the run that they are told of.
        trust: packages from which ``import:`` may take hooks.
        failed: called with its name and what it raised when a hook that shows the run elsewhere fails.

    Raises:
        ConfigError: naming the field that is wrong.
        MissingExtraError: when a hook's package is not installed.
    """
    make = Builder(trust)
    return [
        make(f"hooks.{index}", hook, HOOKS, Hook, noun="hook", run=run, failed=failed)
        for index, hook in enumerate(config.hooks)
    ]


def _generator(make: Builder, config: Config, shape: Sequence[int]) -> nn.Module:
    table = {name: preset.generator for name, preset in _NETWORKS.items()}
    return _network(make, "generator", config.generator, table, z_dim=config.z_dim, shape=shape, **_classes(config))


def _discriminator(
    make: Builder, path: str, part: Part, shape: Sequence[int], classes: Mapping[str, int] = MappingProxyType({})
) -> nn.Module:
    table = {name: preset.discriminator for name, preset in _NETWORKS.items()}
    return _network(make, path, part, table, shape=shape, **classes)


def _classes(config: Config) -> dict[str, int]:
    """What networks are given that take classes."""
    return {"classes": len(config.classes)} if config.classes else {}


def _ema(make: Builder, config: Config) -> Ema:
    try:
        return Ema(_number(make, "ema.half_life_kimg", config.ema.half_life_kimg), config.ema.ramp_up)
    except ValueError as error:
        raise ConfigError(f"ema: {error}") from error


def _augment(make: Builder, config: Config, shape: Sequence[int]) -> Augmented | None:
    part = config.augment
    if part is None:
        return None
    if len(shape) < 3:
        raise ConfigError("augment is for images, and the data is vectors: leave it out")
    augment = make("augment", Part(class_=part.class_, **part.options), AUGMENTS, Callable, noun="augmentation")
    adaptive = None if part.adaptive is None else Adaptive(**part.adaptive.model_dump())
    return Augmented(augment, _number(make, "augment.p", part.p), adaptive)


def _network(make: Builder, path: str, part: Part, table: Mapping[str, Callable[..., Any]], **given: Any) -> nn.Module:
    """Networks of all kinds have the option ``initializer``; those of layer strings see to it themselves."""
    options = part.options
    text = None if part.class_ == "layers" else options.pop("initializer", None)
    network: nn.Module = make(
        path, Part(class_=part.class_, **options), table, nn.Module, noun=path.split(".")[-1], **given
    )
    if text is not None:
        try:
            initializer_of(str(text))(network)
        except PoiseError as error:
            raise ConfigError(f"{path}: {error}") from error
        except (RuntimeError, ValueError) as error:  # a number that torch refuses
            raise ConfigError(f"{path}: initializer {text}: {error}") from error
    return network


def _recompute(path: str, network: nn.Module) -> None:
    try:
        recompute_(network)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _penalty(make: Builder, name: str, config: Config) -> Weighted:
    path, part = f"penalties.{name}", config.penalties[name]
    table = {name: getattr(penalties, name) for name in PENALTIES}
    penalty = make(path, part, table, Callable, itself_takes="scene", noun="penalty")
    return Weighted(penalty, _number(make, f"{path}.weight", part.weight), part.every, part.to)


def _constraint(make: Builder, name: str, config: Config) -> Constrained:
    path, part = f"constraints.{name}", config.constraints[name]
    table = {name: getattr(constraints, name) for name in CONSTRAINTS}
    options = {option: _number(make, f"{path}.{option}", value) for option, value in part.options.items()}
    return Constrained(make(path, Part(class_=part.class_, **options), table, noun="constraint"), part.to, part.every)


def _warmup(make: Builder, config: Config, shape: Sequence[int], processes: int) -> WarmUp | None:
    """The encoder takes samples, as a discriminator does."""
    if config.warmup is None:
        return None
    encoder = _discriminator(make, "warmup.encoder", config.warmup.encoder, shape)
    _require_groups("warmup.encoder", encoder, config, processes)
    with torch.no_grad(), _untrained("warmup.encoder", encoder, shape):
        z = encoder(torch.zeros(2, *shape))
    if z.shape != (2, config.z_dim):
        raise ConfigError(
            f"warmup.encoder: it gives {tuple(z.shape[1:])} for each sample, and z_dim is {config.z_dim}: end it with "
            "as many outputs, or change z_dim"
        )
    return Autoencoder(encoder, config.warmup.steps, _optimizer(make, "warmup.optimizer", config.warmup.optimizer))


def _number(make: Builder, path: str, value: Any) -> Any:
    """A setting, with the schedule that it names; a mapping is one."""
    if isinstance(value, tuple | list):
        return tuple(_number(make, path, it) for it in value)
    part = Part.model_validate(value) if isinstance(value, Mapping) else value
    if not isinstance(part, Part):
        return value
    if make.end is not None and "end" in options_of(SCHEDULES.get(part.class_, Part)) and "end" not in part.options:
        part = Part(class_=part.class_, **part.options, end=make.end)
    return make(path, part, SCHEDULES, noun="schedule")


def _optimizer(make: Builder, path: str, settings: OptimizerConfig) -> OptimizerFactory:
    cls = make.entry(path, settings, OPTIMIZERS, "class of torch.optim")
    known = options_of(cls, without=("params",))
    make.require_known(path, settings, known)
    options = {name: _number(make, f"{path}.{name}", value) for name, value in settings.options.items()}
    make.require_numbers(path, cls, options)
    if "fused" in known and not {"fused", "foreach", "differentiable"} & set(options):
        options["fused"] = True

    def optimizer(weights: Iterable[nn.Parameter], **options: Any) -> torch.optim.Optimizer:
        try:
            made: torch.optim.Optimizer = cls(weights, **options)
            for index, part in enumerate(settings.wrap):
                made = make(f"{path}.wrap.{index}", part, WRAPPERS, torch.optim.Optimizer, noun="wrapper", base=made)
        except PoiseError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"{path}: {settings.class_} refuses these options or these weights: {error}") from error
        return made

    return Scheduled(optimizer, **options)


@torch.no_grad()
def _require_fit(
    config: Config,
    loss: AdversarialLoss,
    weighted: Mapping[str, Weighted],
    generator: nn.Module,
    discriminator: nn.Module,
    shape: Sequence[int],
) -> None:
    """Refuse networks that do not fit the data, each other, the loss or the penalties, before anything is trained."""
    labels = [torch.zeros(2, dtype=torch.int64)] if config.classes else []
    with _untrained("generator", generator, (config.z_dim,)):
        samples = generator(torch.zeros(2, config.z_dim), *labels)
    if samples.shape != (2, *shape):
        raise ConfigError(
            f"generator: it makes samples of shape {tuple(samples.shape[1:])}, the data has {tuple(shape)}; change its "
            "last layers, or give --size"
        )
    with _untrained("discriminator", discriminator, shape):
        logits = Scene(discriminator, real=samples, labels=labels[0] if labels else None).real_logits
        loss.d(logits, logits)
    _require_features(weighted, discriminator, samples, labels[0] if labels else None)
    growing = [it for it in (generator, discriminator) if isinstance(it, Growing)]
    if len({it.schedule for it in growing}) > 1:
        raise ConfigError(
            "discriminator.grow_kimg: the networks do not grow at the same time; give both the same grow_kimg and "
            "fade_kimg"
        )
    for path, network in (("generator", generator), ("discriminator", discriminator)):
        if not isinstance(network, Growing) or config.kimg is None:
            continue
        grown_at = network.grown_at_kimg
        if grown_at > config.kimg and not isclose(grown_at, config.kimg):  # a sum, as 0.1 + 0.05, is not quite 0.15
            raise ConfigError(
                f"{path}.grow_kimg: the network has its full size after {grown_at:g} kimg, and the run ends at "
                f"{config.kimg:g}; let it grow earlier, or give a longer --kimg"
            )


def _require_features(
    weighted: Mapping[str, Weighted], discriminator: nn.Module, samples: Tensor, labels: Tensor | None
) -> None:
    """Refuse penalties on features where the discriminator shows none."""
    looking = {name: it for name, it in weighted.items() if it.weight != 0 and hasattr(it.penalty, "layers")}
    layers = checked_layers(looking, discriminator)
    with _untrained("discriminator", discriminator, samples.shape[1:]):
        features = Scene(discriminator, real=samples, labels=labels, layers=layers).real_view.features
    if looking and not features:
        raise ConfigError(
            f"penalties.{next(iter(looking))}.layers: none is named, and the discriminator returns no features beside "
            "its logits: give the names of some of its layers"
        )


def _require_groups(path: str, network: nn.Module, config: Config, processes: int) -> None:
    """Refuse a batch that the network's groups of samples do not divide; the few samples of a trial do not tell."""
    if config.batch == "auto":
        return
    own = checked_share(config.batch, processes)
    parts = {len(part) for part in torch.empty(own, device="meta").tensor_split(config.accumulate)}
    for layer in network.modules():
        if isinstance(layer, MinibatchStddev):
            try:
                for count in parts:
                    layer(torch.empty(count, 1, 1, device="meta"))
            except ShapeError as error:
                given = f"batch is {config.batch}"
                given += f", {own} for each of {processes} processes" if processes > 1 else ""
                given += f", in {config.accumulate} parts" if config.accumulate > 1 else ""
                raise ConfigError(f"{given}, which does not fit the {path}: {error}") from error


@contextmanager
def _untrained(path: str, network: nn.Module, shape: Sequence[int]) -> Iterator[None]:
    """Try a network on inputs of ``shape``, leaving its state as it is; say which one it was that failed."""
    mode = network.training
    network.eval()
    try:
        yield
    except PoiseError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"{path}: it does not take inputs of shape {tuple(shape)}: {error}") from error
    finally:
        network.train(mode)
