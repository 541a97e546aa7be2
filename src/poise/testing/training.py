"""The contract of all parts together: training is one walk, however it is taken."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from poise.losses import AdversarialLoss
from poise.penalties import Weighted
from poise.testing.players import TinyDiscriminator, tiny_generator
from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, require_kind
from poise.trainer import Hook, Trainer, make_fabric, pack, unpack

__all__ = ["check_hook", "check_trains"]

_Z_DIM = 4

# What a hook may change: it reads and clears the numbers of a tick; and wall-clock time.
_OF_HOOKS = ("meters", "seconds")
_TIMES = ("seconds",)


@seeded()
def check_trains(
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    *,
    z_dim: int = _Z_DIM,
    shape: Sequence[int] = (2,),
    steps: int = 8,
    batch: int = 16,
    **options: Any,
) -> None:
    """Check that a combination of parts trains, and that its training can be interrupted anywhere.

    Trainers with copies of these parts train on random samples. The networks, where none are given, are tiny; one of
    them keeps running statistics and the other draws random numbers. These end bit for bit the same, in weights,
    averages, optimizers, policy, memory and numbers:

    - one call of ``fit``;
    - a loop over ``step``;
    - many calls of ``fit``;
    - for each step, a new trainer that goes on from the state after it, saved and loaded.

    Args:
        generator: the generator; a tiny one if none is given.
        discriminator: the discriminator; a tiny one if none is given.
        z_dim: the latent dimension.
        shape: of a sample.
        steps: how many to train; more than those of a warm-up or of a policy's pretraining.
        batch: samples a batch.
        options: those of :class:`~poise.trainer.Trainer`: ``loss``, ``penalties``, ``balance``, ``g_optimizer`` and so
            on. If no ``fabric`` is given, on the CPU, where the same operations always have the same results.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
        PoiseError: when the trainer refuses an option.
    """
    generator = generator or tiny_generator(z_dim, shape, batch_norm=True)
    discriminator = discriminator or _discriminator(shape, options)
    build = _Builder(generator, discriminator, z_dim=z_dim, **options)
    data = _data(shape, batch)
    straight = build()
    _fit(straight, data, steps, batch)
    expected = _state(straight)
    stepped = build()
    batches = map(stepped.feed(data, batch).batch, count())
    with attempt("a loop over step", "see what step() says"):
        for _ in range(steps):
            stepped.step(batches)
    _compare("a loop over step", expected, _state(stepped), _PARTS)
    pieces = build()
    for step in range(1, steps):
        _fit(pieces, data, step, batch)
        resumed = _resumed(build, pieces, step)
        torch.rand(17)  # whatever else a new process did
        _fit(resumed, data, steps, batch)
        _compare(f"a training that goes on from the state after step {step}", expected, _state(resumed), _PARTS)
    _fit(pieces, data, steps, batch)
    _compare("many calls of fit", expected, _state(pieces), _PARTS)


@seeded()
def check_hook(
    make: Callable[[], Hook], *, shape: Sequence[int] = (2,), steps: int = 6, batch: int = 16, **options: Any
) -> None:
    """Check that a hook observes, and changes nothing.

    A tiny training with it and one without it end with the same weights, averages and optimizers, bit for bit; also
    when the same hook sees a second ``fit`` go on, and when a new one sees a new trainer go on from a saved state. The
    hook may end a ``fit`` early.

    Args:
        make: gives a new hook in each call, as a new process would make it over the same files.
        shape: of a sample.
        steps: how many each ``fit`` trains, at most.
        batch: samples a batch.
        options: those of :class:`~poise.trainer.Trainer`.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    generator = tiny_generator(_Z_DIM, shape, batch_norm=True)
    build = _Builder(generator, _discriminator(shape, options), z_dim=_Z_DIM, **options)
    data = _data(shape, batch)
    plain, watched = build(), build()
    hook = _hook(make)
    for number in ("a fit", "a second fit"):
        _watch(watched, plain, hook, data, steps, batch, number)
    resumed = _resumed(build, watched, watched.steps)
    _watch(resumed, plain, _hook(make), data, steps, batch, "a fit of a new trainer that goes on")


def _hook(make: Callable[[], Hook]) -> Hook:
    with attempt("make()", "give a function without arguments that makes a hook, such as its class"):
        hook = make()
    require_kind(hook, Hook, "make()", "a Hook", "derive the hook from poise.trainer.Hook")
    return hook


def _watch(watched: Trainer, plain: Trainer, hook: Hook, data: Tensor, steps: int, batch: int, what: str) -> None:
    with attempt(f"{what} with the hook", "a hook is called with the trainer only, and may be used for many fits"):
        watched.fit(data, steps=watched.steps + steps, batch=batch, hooks=[hook])
    if watched.steps > plain.steps:
        plain.fit(data, steps=watched.steps, batch=batch)
    _compare(
        f"{what} with the hook",
        _state(plain, without=_OF_HOOKS),
        _state(watched, without=_OF_HOOKS),
        "a hook observes: change no weights, gradients, modes or options of the trainer in it; what changes weights is "
        "a constraint, a penalty, a balance policy or a warm-up",
        like="one without",
    )


class _Builder:
    """Makes trainers that begin alike and share nothing."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, **options: Any) -> None:
        self._fabric = options.pop("fabric", None) or make_fabric("cpu")
        self._parts = (generator, discriminator)
        self._options = options

    def __call__(self) -> Trainer:
        with attempt("a copy of the parts", "give parts that deepcopy can copy"):
            (generator, discriminator), options = deepcopy((self._parts, self._options))
        return Trainer(generator, discriminator, fabric=self._fabric, **options)


_PARTS = (
    "draw random numbers from torch's default generator only; keep the state of networks in parameters and buffers, of "
    "optimizers and policies in state_dict(), of penalties in scene.memory"
)


def _discriminator(shape: Sequence[int], options: Mapping[str, Any]) -> TinyDiscriminator:
    """A tiny one with the outputs and layers that loss and penalties look at."""
    loss, penalties = options.get("loss"), options.get("penalties") or {}
    outputs = loss.outputs if isinstance(loss, AdversarialLoss) else None
    terms = [term.penalty for term in penalties.values() if isinstance(term, Weighted)]
    layers = dict.fromkeys(layer for term in terms for layer in getattr(term, "layers", ()))
    return TinyDiscriminator(shape, (outputs or 1,), tuple(layers), dropout=0.3)


def _data(shape: Sequence[int], batch: int) -> Tensor:
    return torch.randn(4 * batch, *shape) + 1


def _fit(trainer: Trainer, data: Tensor, steps: int, batch: int) -> None:
    with attempt(f"fit from step {trainer.steps} to {steps}", "see what the trainer says"):
        trainer.fit(data, steps=steps, batch=batch)


def _state(trainer: Trainer, without: Sequence[str] = _TIMES) -> dict[str, Any]:
    """A copy of all that a trainer is, as it would be saved."""
    with attempt(f"the state after step {trainer.steps}", "give tensors and JSON values as the states of parts"):
        state = unpack(pack(trainer.state_dict()))
    return {name: part for name, part in state.items() if name not in without}


def _resumed(build: _Builder, trainer: Trainer, step: int) -> Trainer:
    """A new trainer with another's state."""
    resumed, state = build(), _state(trainer, without=())
    with attempt(f"a new trainer, given the state after step {step}", "take back what state_dict() gave"):
        resumed.load_state_dict(state)
    return resumed


def _compare(what: str, expected: Any, seen: Any, change: str, like: str = "one call of fit") -> None:
    path = _difference(expected, seen)
    if path is not None:
        raise broken(what, f"the same as {like}, bit for bit", f"a difference in {path}", change)


def _difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two states differ first."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return None if torch.equal(one, other) else path
    if type(one) is not type(other):
        return path
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f"{path} ({', '.join(map(str, one.keys() ^ other.keys()))})".strip()
        pairs = [(key, value, other[key]) for key, value in one.items()]
    elif isinstance(one, list | tuple) and len(one) == len(other):
        pairs = [(key, *values) for key, values in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else path
    parts = (_difference(left, right, f"{path}.{key}" if path else str(key)) for key, left, right in pairs)
    return next((part for part in parts if part is not None), None)
