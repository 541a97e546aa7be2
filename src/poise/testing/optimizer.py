"""The contract of optimizers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, require_kind
from poise.trainer import OptimizerFactory, pack, unpack
from poise.trainer.player import Player

__all__ = ["check_optimizer"]


@seeded()
def check_optimizer(
    make: OptimizerFactory,
    *,
    steps: int = 24,
    shapes: Sequence[Sequence[int]] = ((3, 2), (5,), (2, 3, 2, 2), ()),
) -> None:
    """Check that an optimizer can be that of a trainer's player.

    - It has all the weights that it is given, and no others.
    - ``step()`` works without a closure, and where some weights have no gradient.
    - The same gradients take the same weights the same way, whatever other optimizers there are.
    - Its state can be saved without pickle: nested dicts and lists of tensors and JSON values.
    - Saved after any step and loaded into a new one of the same weights, as the trainer does, it goes on bit for bit as
      if it had not been. What the constructor takes are settings: those of the new one are kept.

    Args:
        make: gives the optimizer of an iterable of weights, such as ``partial(torch.optim.Adam, lr=1e-4)``.
        steps: how many to make; more than two of the optimizer's own periods, where it has any.
        shapes: of the weights, for an optimizer that is for some only.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    player = _player(make, _weights(shapes))
    states = []
    straight = [_copied(player)]
    for step in range(steps):
        states.append(_saved(player, step))
        _step(player, step)
        straight.append(_copied(player))
    if all(map(torch.equal, straight[0], straight[-1])):
        raise broken(f"{steps} steps", "weights that move", "that they stay", "change weights in place in step()")
    second = _player(make, _weights(shapes))
    _go_on(second, 0, straight, "a second optimizer of weights that begin alike", _ALONE)
    for step, state in enumerate(states):
        resumed = _player(make, [nn.Parameter(weight.clone()) for weight in straight[step]])
        what = f"a new optimizer, into which the state after {step} steps was loaded"
        with attempt(what, "take back in load_state_dict() what state_dict() gave"):
            resumed.load_state_dict(unpack(state))
        _go_on(resumed, step, straight, what, _RESUMED)


_ALONE = "keep what is remembered in the optimizer's state, not in the class or module, and draw no random numbers"
_RESUMED = (
    "keep all that changes from step to step in self.state[weight], which torch.optim.Optimizer saves, and not in "
    "attributes or settings; or override state_dict() and load_state_dict()"
)


def _weights(shapes: Sequence[Sequence[int]]) -> list[nn.Parameter]:
    """Weights of these shapes; images' are channels-last, as some are in training."""
    with seeded(1):
        tensors = [torch.randn(tuple(shape)) for shape in shapes]
    return [nn.Parameter(it.to(memory_format=torch.channels_last) if it.ndim == 4 else it) for it in tensors]


def _copied(player: Player) -> list[Tensor]:
    return [weight.detach().clone() for weight in player.weights]


def _player(make: OptimizerFactory, weights: Sequence[nn.Parameter]) -> Player:
    """A player with these weights and an optimizer of them."""
    with attempt(
        "make(weights)", "give a function of an iterable of weights, such as partial(torch.optim.Adam, lr=1e-4)"
    ):
        optimizer: Any = make(iter(weights))
    advice = "derive the optimizer from it, or from poise.optimizers.Wrapper"
    require_kind(optimizer, Optimizer, "make(weights)", "a torch.optim.Optimizer", advice)
    own = [weight for group in optimizer.param_groups for weight in group["params"]]
    if len(own) != len(weights) or {id(weight) for weight in own} != {id(weight) for weight in weights}:
        raise broken(
            "the optimizer's parameter groups",
            f"the {len(weights)} weights that it was given",
            f"{len(own)} weights",
            "hand all of them to torch.optim.Optimizer.__init__",
        )
    return Player("G", nn.ParameterList(weights), lambda _: optimizer)


def _step(player: Player, step: int) -> None:
    """One step, along gradients that are functions of the weights and the step alone."""
    player.optimizer.zero_grad()
    for place, weight in enumerate(player.weights):
        if place != 1 or step % 3:  # one weight has a gradient at times
            weight.grad = torch.cos(3 * weight.detach() + step) + 0.1 * weight.detach()
    with attempt(f"step number {step}", "take gradients as they are on the weights, without a closure, and skip None"):
        player.optimizer.step()
    if not all(weight.isfinite().all() for weight in player.weights):
        raise broken(f"step number {step}", "finite weights", "NaN or infinity", "look at divisions by small numbers")


def _saved(player: Player, step: int) -> bytes:
    with attempt(
        f"the state after {step} steps, as the bytes of a safetensors file",
        "give nested dicts and lists of tensors and JSON values from state_dict()",
    ):
        return pack(player.state_dict())


def _go_on(player: Player, first: int, straight: Sequence[Sequence[Tensor]], what: str, change: str) -> None:
    """Make the steps from ``first`` on, and compare each with the one that was made straight."""
    for step in range(first, len(straight) - 1):
        _step(player, step)
        for place, (seen, expected) in enumerate(zip(player.weights, straight[step + 1], strict=True)):
            if not torch.equal(seen, expected):
                raise broken(
                    what,
                    "the same weights, bit for bit, as of one that never stopped",
                    f"weight {place} differ after step {step} by {(seen - expected).abs().max().item():.3g}",
                    change,
                )
