"""The space that a study searches unless told otherwise: what people tune when they train GANs."""

from collections.abc import Iterator, Mapping
from typing import Any

from poise.config import Config, OptimizerConfig, Part
from poise.data import Data
from poise.tuning.space import Choices, Entry, Range, Space

__all__ = ["default_space"]

_LOSSES = ("vanilla", "hinge", "relativistic", "lsgan", "wasserstein")
_BATCHES = (16, 32, 64, 128, 256)
_WITH_NORM = ("dcgan",)
_INITIALIZERS = ("normal", "xavier", "kaiming", "orthogonal")

# Presets whose weights may begin in any way and be normalized; the others scale their layers by how these begin.
_PLAIN = ("mlp", "dcgan", "resnet")


def default_space(config: Config, data: Data) -> Space:
    """Learning rates, momentum, batch, latents, steps of D, loss, penalty, normalization, initialization, average.

    What a config has no place for is left out; where it has schedules, their beginnings are varied.

    Args:
        config: the settings that the study begins from.
        data: what is trained on.
    """
    entries = [
        *_rates(config),
        *_momentum(config),
        *_sizes(config, data),
        *_critic_steps(config),
        _loss(config),
        *_penalties(config, data),
        *_normalization(config),
        *_initialization(config),
        *_average(config),
    ]
    return Space(entries, "the default space")


def _rates(config: Config) -> Iterator[Entry]:
    """G's learning rate, and D's as a multiple of it: the two time scales of TTUR."""
    g, d = _rate("g_optimizer", config.g_optimizer), _rate("d_optimizer", config.d_optimizer)
    if g is not None:
        path, rate = g
        yield Entry(path, Range(min(3e-5, rate / 4), max(2e-3, rate * 4), log=True))
        if d is not None:
            ratio = d[1] / rate
            yield Entry(d[0], Range(min(0.5, ratio), max(8.0, ratio), log=True), times=path)


def _rate(player: str, optimizer: OptimizerConfig) -> tuple[str, float] | None:
    """Where a learning rate is set, and what it is; that of a schedule where it begins."""
    if not isinstance(optimizer.lr, Part):
        return f"{player}.lr", optimizer.lr
    start = optimizer.lr.options.get("from")
    return (f"{player}.lr.from", start) if isinstance(start, int | float) and start > 0 else None


def _momentum(config: Config) -> Iterator[Entry]:
    """beta1 of both players."""
    players = [
        f"{name}.betas.0"
        for name, optimizer in (("g_optimizer", config.g_optimizer), ("d_optimizer", config.d_optimizer))
        if optimizer.betas is not None and not isinstance(optimizer.betas[0], Part)
    ]
    if players:
        yield Entry(players[0], Range(0.0, 0.95), also=tuple(players[1:]))


def _sizes(config: Config, data: Data) -> Iterator[Entry]:
    """The batch, and the dimension of latents."""
    fitting = [batch for batch in _BATCHES if batch <= len(data) // 4]
    if config.batch != "auto" and len({*fitting, config.batch}) > 1:
        yield Entry("batch", Choices({batch: batch for batch in sorted({*fitting, config.batch})}))
    usual = (4, 8, 16, 32) if data.kind == "vectors" else (64, 128, 256)
    yield Entry("z_dim", Choices({z_dim: z_dim for z_dim in sorted({*usual, config.z_dim})}))


def _critic_steps(config: Config) -> Iterator[Entry]:
    """Steps of D for each of G, where they take turns."""
    if config.balance.class_ == "alternating":
        options = config.balance.options
        own = f"{options.get('d_steps', 1)} to {options.get('g_steps', 1)}"
        turns: dict[str, Any] = {f"{steps} to 1": {"class": "alternating", "d_steps": steps} for steps in (1, 2, 5)}
        yield Entry("balance", Choices(turns | {own: config.balance.model_dump(mode="json", by_alias=True)}))


def _loss(config: Config) -> Entry:
    own = config.loss.model_dump(mode="json", by_alias=True)
    return Entry("loss", Choices({name: name for name in _LOSSES} | {config.loss.class_: own}))


def _penalties(config: Config, data: Data) -> Iterator[Entry]:
    """Which gradient penalty, and how strong it is: within a hundredfold, about where its paper has it."""
    every = 1 if data.kind == "vectors" else 4
    own = {name: penalty.model_dump(mode="json", by_alias=True) for name, penalty in config.penalties.items()}
    sets: dict[str, Any] = {
        "none": {},
        "r1": {"r1": {"weight": 1.0, "every": every}},
        "r1+r2": {"r1": {"weight": 1.0, "every": every}, "r2": {"weight": 1.0, "every": every}},
        "wgan_gp": {"wgan_gp": {"weight": 10.0}},
    }
    sets |= {"+".join(own) or "none": own}
    yield Entry("penalties", Choices(sets))
    for name, low, high in (("r1", 0.02, 20.0), ("r2", 0.02, 20.0), ("wgan_gp", 1.0, 50.0)):
        weights = {label: _weight(chosen.get(name)) for label, chosen in sets.items()}
        known = {label: weight for label, weight in weights.items() if weight is not None}
        if known:
            strengths = Range(min(low, *known.values()), max(high, *known.values()), log=True)
            yield Entry(f"penalties.{name}.weight", strengths, when={"penalties": tuple(known)})


def _weight(penalty: Mapping[str, Any] | None) -> float | None:
    """The weight of a penalty, where it is a number that can be varied by logarithm."""
    weight = None if penalty is None else penalty["weight"]
    return float(weight) if isinstance(weight, int | float) and weight > 0 else None


def _normalization(config: Config) -> Iterator[Entry]:
    """Batch norm in D, where its network can do without; and spectral norm, where it has weights for it."""
    network = config.discriminator.class_
    if network in _WITH_NORM:
        yield Entry("discriminator.norm", Choices({"none": "none", "batch": "batch"}))
    if network in _PLAIN:
        own = {name: it.model_dump(mode="json", by_alias=True) for name, it in config.constraints.items()}
        sets: dict[str, Any] = {"none": {}, "spectral_norm": {"spectral_norm": {"to": "D"}}}
        yield Entry("constraints", Choices(sets | {"+".join(own) or "none": own}))


def _initialization(config: Config) -> Iterator[Entry]:
    """How the weights of both networks begin."""
    if {config.generator.class_, config.discriminator.class_} <= set(_PLAIN):
        own = config.generator.options.get("initializer")
        begins = {str(own or "own"): own} | {name: name for name in _INITIALIZERS}
        yield Entry("generator.initializer", Choices(begins), also=("discriminator.initializer",))


def _average(config: Config) -> Iterator[Entry]:
    """The half-life of G's average."""
    half_life = config.ema.half_life_kimg
    if isinstance(half_life, int | float) and half_life > 0:
        yield Entry("ema.half_life_kimg", Range(min(0.1, half_life / 2), max(50.0, half_life * 2), log=True))
