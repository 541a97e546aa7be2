"""What a trainer is given, checked: each refusal says what to give instead."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from poise.augment import Augmented
from poise.balance import Balance, Phase, Plan
from poise.constraints import Constrained
from poise.data import Batch
from poise.errors import ConfigError, ShapeError
from poise.losses import AdversarialLoss, pushes_real_up, require_values
from poise.penalties import Weighted, acts_on, layer_named, player_of
from poise.schedules import Number, described, greatest, least

__all__ = [
    "as_batches",
    "checked_augment",
    "checked_batch",
    "checked_classes",
    "checked_constraints",
    "checked_count",
    "checked_labels",
    "checked_layers",
    "checked_loss",
    "checked_penalties",
    "checked_plan",
    "checked_share",
    "checked_sizes",
    "checked_top_k",
    "checked_values",
    "fitting_labels",
    "require_shape",
    "warn_of_balance",
    "warn_of_constant",
    "warn_of_probabilities",
]


_PHASES: frozenset[Phase] = frozenset({("D",), ("G",), ("D", "G"), ("G", "D")})


def as_batches(real: Batch | Iterator[Batch]) -> Iterator[Batch]:
    """One batch for every move, or the iterator that was given."""
    if isinstance(real, Tensor | tuple | list):
        return repeat(real)
    if not isinstance(real, Iterator):
        raise ConfigError(f"step was given a {type(real).__name__}: give a batch, or an iterator such as iter(loader)")
    return real


def checked_batch(batch: Batch, classes: int) -> tuple[Tensor, Tensor | None]:
    """Samples and, where the networks take classes, their labels."""
    samples, *rest = (batch,) if isinstance(batch, Tensor) else batch
    if not classes:
        return samples, None
    if not rest:
        raise ConfigError(f"the networks take {classes} classes, and a batch is samples alone: give (samples, labels)")
    labels = checked_labels(rest[0], classes)
    if len(labels) != len(samples):
        raise ConfigError(f"a batch has {len(samples)} samples and {len(labels)} labels; give one for each")
    return samples, labels


def checked_labels(labels: Any, classes: int) -> Tensor:
    """Labels, int64 ``(n,)``. Those on an accelerator are not looked at, as that would wait for it."""
    if not classes:
        raise ConfigError("labels are given, and the networks take no classes: give Trainer(..., classes=...)")
    found = torch.as_tensor(labels)
    if found.ndim != 1 or found.is_floating_point():
        raise ConfigError(f"labels are {found.dtype} of shape {tuple(found.shape)}; they must be whole numbers, (n,)")
    if found.device.type == "cpu" and len(found):
        low, high = int(found.min()), int(found.max())
        if low < 0 or high >= classes:
            raise ConfigError(f"labels go from {low} to {high}, and the networks take {classes} classes, from 0")
    return found.long()


def fitting_labels(labels: Tensor | None, z: Tensor, classes: int) -> Tensor | None:
    """The labels of a deal, one for each latent where the networks take classes."""
    if classes and (labels is None or len(labels) != len(z)):
        there = "no labels" if labels is None else f"{len(labels)} labels"
        raise ConfigError(f"there are {there} and {len(z)} latents: give as many labels")
    return labels


def checked_classes(classes: int, *networks: nn.Module) -> int:
    """How many classes the networks take."""
    if classes < 0:
        raise ConfigError(f"classes is {classes}; it must be at least 0")
    for name, network in zip(("generator", "discriminator"), networks, strict=True):
        takes = getattr(network, "classes", classes)
        if takes != classes:
            raise ConfigError(f"the {name} takes {takes} classes, and the trainer was told of {classes}: give the same")
    return classes


def checked_augment(augment: Augmented | None) -> Augmented | None:
    """Augmentation whose share is one at all times."""
    if augment is None:
        return None
    if not isinstance(augment, Augmented):
        raise ConfigError(f"augment is a {type(augment).__name__}; give Augmented(AUGMENTS['diffaugment']())")
    if not (least(augment.p) >= 0 and greatest(augment.p) <= 1):
        raise ConfigError(f"augment.p is {described(augment.p)}; it is a share of the samples, from 0 to 1")
    return augment


def checked_loss(loss: AdversarialLoss) -> AdversarialLoss:
    """A loss that gives one value a sample, and not the function that makes one."""
    if not isinstance(loss, AdversarialLoss):
        raise ConfigError(
            f"loss is a {type(loss).__name__}; give an AdversarialLoss, such as losses.hinge() or LOSSES['hinge']"
        )
    require_values(loss)
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
        if name in ("d", "g", "warmup"):
            raise ConfigError(f"a penalty cannot be named {name!r}: {name}_loss is another number in the log")
        if not (least(term.weight) >= 0 and isfinite(greatest(term.weight))):
            raise ConfigError(f"penalties.{name}.weight is {described(term.weight)}; it must be at least 0 and finite")
        if term.every < 1:
            raise ConfigError(f"penalties.{name}.every is {term.every}; it must be at least 1")
        if term.to not in ("D", "G", None):
            raise ConfigError(f"penalties.{name}.to is {term.to!r}; a penalty goes to 'D' or to 'G'")
        to, able = term.to or player_of(term.penalty), acts_on(term.penalty)
        if to not in able:
            raise ConfigError(
                f"penalties.{name} goes to '{to}', on whose weights it does not depend, so that it would do nothing: "
                f"let it go to {' or '.join(map(repr, sorted(able)))}"
            )
    return {name: term for name, term in penalties.items() if term.weight != 0}


def checked_values(name: str, values: Any) -> Tensor:
    """What a penalty gives: one value a sample, or one for the batch."""
    if not isinstance(values, Tensor) or values.shape[1:].numel() != 1:
        given = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise ConfigError(f"penalties.{name} gives {given}; give a tensor of shape (n,) or ()")
    return values


def warn_of_constant(name: str, values: Tensor) -> None:
    """Warn of a penalty that is detached, or off for now."""
    if torch.is_grad_enabled() and not values.requires_grad:
        warnings.warn(
            f"penalties.{name} gives values that have no derivative, so that it does nothing: if that is not meant, "
            "let it call the networks of the scene, and not detach what they give",
            stacklevel=2,
        )


def checked_count(name: str, count: int) -> int:
    """A count of at least 1."""
    if count < 1:
        raise ConfigError(f"{name} is {count}; it must be at least 1")
    return count


def checked_share(batch: int, processes: int) -> int:
    """The samples of a batch that each process takes."""
    if batch % processes:
        near = [count for count in (batch - batch % processes, batch - batch % processes + processes) if count]
        raise ConfigError(
            f"batch is {batch}, which {processes} processes cannot share evenly: give a multiple of {processes}, such "
            f"as {' or '.join(map(str, near))}"
        )
    return batch // processes


def checked_sizes(sizes: Sequence[int]) -> None:
    """Refuse parts of a batch that are not of one size."""
    if len(set(sizes)) > 1:
        raise ConfigError(
            f"the processes' parts of a batch have {', '.join(map(str, sizes))} samples; give all of them as many, "
            "such as by leaving out a last batch that is not full"
        )


def checked_constraints(constraints: Sequence[Constrained]) -> dict[str, list[Constrained]]:
    """The constraints of each player."""
    for it in constraints:
        if not isinstance(it, Constrained):
            raise ConfigError(f"a constraint is a {type(it).__name__}; give Constrained(clip(0.01)) or such")
        if it.to not in ("D", "G"):
            raise ConfigError(f"constraints: to is {it.to!r}; a constraint is one of 'D' or of 'G'")
        if it.every < 1:
            raise ConfigError(f"constraints: every is {it.every}; it must be at least 1")
    return {role: [it for it in constraints if it.to == role] for role in ("D", "G")}


def checked_layers(penalties: Mapping[str, Weighted], discriminator: nn.Module) -> tuple[str, ...]:
    """The discriminator's layers that penalties look at."""
    layers: dict[str, None] = {}
    for name, term in penalties.items():
        for layer in getattr(term.penalty, "layers", ()):
            try:
                layer_named(discriminator, layer)
            except ConfigError as error:
                raise ConfigError(f"penalties.{name}.layers: {error}") from error
            layers[layer] = None
    return tuple(layers)


def checked_top_k(top_k: Number) -> Number:
    """A share above 0 and at most 1."""
    if not 0 < least(top_k) <= greatest(top_k) <= 1:
        raise ConfigError(f"top_k is {described(top_k)}; it is a share of the fakes, above 0 and at most 1")
    return top_k


def warn_of_balance(balance: Balance, loss: AdversarialLoss) -> None:
    """Warn of a policy that compares scores with a loss that pushes those of reals down."""
    if balance.wants_real_up and not pushes_real_up(loss):
        warnings.warn(
            f"{type(balance).__name__} takes higher scores of reals for a better discriminator, but this loss pushes "
            "them down: exchange its targets, or take another policy",
            stacklevel=3,
        )


def warn_of_probabilities(logits: Tensor) -> None:
    """Warn of a discriminator that ends in a sigmoid or softmax."""
    node = logits.grad_fn
    while node is not None and node.name().startswith(_RESHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    if node is not None and node.name().startswith(("Sigmoid", "Softmax", "LogSoftmax", "LogSigmoid")):
        warnings.warn(
            "the discriminator ends in a sigmoid or softmax: it gives probabilities, and losses expect logits; leave "
            "that layer out",
            stacklevel=2,
        )


# The last operations of a network that leave its values as they are.
_RESHAPING = (
    "View",
    "Slice",
    "UnsafeView",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "ToCopy",
    "Flatten",
    "Alias",
    "Transpose",
)


def require_shape(fake: Tensor, real: Tensor) -> None:
    """Refuse fakes that do not have the shape of reals."""
    if fake.shape[1:] != real.shape[1:]:
        raise ShapeError(
            f"the generator makes samples of shape {tuple(fake.shape[1:])}, the data has {tuple(real.shape[1:])}: "
            "build the generator for the data's shape, or prepare the data at the generator's size"
        )
