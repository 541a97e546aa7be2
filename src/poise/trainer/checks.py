"""What a trainer is given, checked: each refusal says what to give instead."""

from collections.abc import Iterator, Mapping
from itertools import repeat

from torch import Tensor

from poise.balance import Phase, Plan
from poise.errors import ConfigError, ShapeError
from poise.losses import AdversarialLoss
from poise.penalties import Weighted

__all__ = ["as_batches", "checked_loss", "checked_penalties", "checked_plan", "require_shape"]

_PHASES: frozenset[Phase] = frozenset({("D",), ("G",), ("D", "G"), ("G", "D")})


def as_batches(real: Tensor | Iterator[Tensor]) -> Iterator[Tensor]:
    """One batch for every move, or the iterator that was given."""
    if isinstance(real, Tensor):
        return repeat(real)
    if not isinstance(real, Iterator):
        raise ConfigError(f"step was given a {type(real).__name__}: give a batch, or an iterator such as iter(loader)")
    return real


def checked_loss(loss: AdversarialLoss) -> AdversarialLoss:
    """A loss, and not the function that makes one."""
    if not isinstance(loss, AdversarialLoss):
        raise ConfigError(
            f"loss is a {type(loss).__name__}; give an AdversarialLoss, such as losses.hinge() or LOSSES['hinge']"
        )
    return loss


def checked_plan(plan: Plan) -> Plan:
    """A plan in which somebody moves, and nobody twice in one phase."""
    if not plan or not _PHASES.issuperset(plan):
        raise ConfigError(
            f"the balance policy planned {plan!r}; a plan is phases of 'D' and 'G', such as (('D',), ('G',))"
        )
    return plan


def checked_penalties(penalties: Mapping[str, Weighted]) -> dict[str, Weighted]:
    """The penalties that weigh anything."""
    for name, term in penalties.items():
        if not isinstance(term, Weighted):
            raise ConfigError(
                f"penalties[{name!r}] is a {type(term).__name__}; give Weighted(PENALTIES['r1'], weight=...) or such"
            )
        if name in ("d", "g"):
            raise ConfigError(f"a penalty cannot be named {name!r}: {name}_loss is the player's own loss in the log")
        weight, every = term.weight, term.every
        if weight < 0:
            raise ConfigError(f"penalties.{name}.weight is {weight}; it must be at least 0")
        if every < 1:
            raise ConfigError(f"penalties.{name}.every is {every}; it must be at least 1")
    return {name: term for name, term in penalties.items() if term.weight > 0}


def require_shape(fake: Tensor, real: Tensor) -> None:
    """Refuse fakes that do not have the shape of reals."""
    if fake.shape[1:] != real.shape[1:]:
        raise ShapeError(
            f"the generator makes samples of shape {tuple(fake.shape[1:])}, the data has {tuple(real.shape[1:])}: "
            "build the generator for the data's shape, or prepare the data at the generator's size"
        )
