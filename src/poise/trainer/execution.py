"""How a move is carried out on the machine: the seam between what is computed and how."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from poise.parallel import World
from poise.penalties import Scene
from poise.trainer.moves import Move
from poise.trainer.objectives import Numbers
from poise.trainer.player import norm_of

__all__ = [
    "MOST_KINDS",
    "TOO_MANY_KINDS",
    "Check",
    "Eager",
    "Execution",
    "InParts",
    "OverProcesses",
    "Taken",
    "in_a_line",
]

MOST_KINDS = 8
"""What is made for each kind of move takes time and memory, and pays where kinds come again and again."""

TOO_MANY_KINDS = f"there are more than {MOST_KINDS} kinds of moves, as where top_k changes every step"


class Taken(NamedTuple):
    """What came of taking a player's gradients.

    Attributes:
        loss: what was minimized, ``()``.
        norm: the gradients' Euclidean norm over all weights, ``()``.
        numbers: the parts of the loss by their log names, ``()`` each.
    """

    loss: Tensor
    norm: Tensor
    numbers: Numbers


Check = Callable[[str, Tensor, Tensor], None]
"""Looks at a role's loss and gradient norm before any weight moves."""


class Execution(ABC):
    """Carries moves out. Every execution gives the same numbers but for rounding."""

    name: ClassVar[str]

    def play(self, moves: Sequence[Move], scene: Scene, check: Check, alone: bool = True) -> Numbers:
        """Take all gradients, look at them, then move.

        Args:
            moves: who moves together.
            scene: the deal.
            check: looks at each player's loss and gradient norm before anyone moves.
            alone: whether no other weights have a part in the scene's graph.

        Returns:
            The parts of the losses and the gradients' norms by their log names, ``()`` each.
        """
        numbers: Numbers = {}
        for move in moves:
            taken = self.gradients(move, scene, alone, last=move is moves[-1])
            check(move.player.role, taken.loss, taken.norm)
            numbers |= taken.numbers
            numbers[f"{move.player.role.lower()}_grad_norm"] = taken.norm
        for move in moves:
            move.act()
        return numbers

    def forget(self) -> None:  # noqa: B027  # most keep nothing
        """Drop what was made of the optimizers' state, which another one has replaced."""

    @abstractmethod
    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """Put the gradients of a move's objective on its player's weights.

        Args:
            move: whose, and of what.
            scene: the deal.
            alone: whether no other weights have a part in the scene's graph.
            last: whether nobody else takes gradients through that graph.
        """


class Eager(Execution):
    """One operation after the other, as PyTorch has them."""

    name: ClassVar[str] = "eager"

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        loss, numbers = move.objective(scene, move.turn(scene))
        norm = move.player.gradients_of(loss, alone, last)
        return Taken(loss.detach(), norm, {name: value.detach() for name, value in numbers.items()})


class InParts(Execution):
    r"""Takes the gradient of a batch as the sum of those of its parts, one after the other: a part's memory suffices.

    .. math:: \nabla \frac1n \sum_{i=1}^n \ell_i = \sum_k \frac{n_k}{n}\, \nabla \frac1{n_k} \sum_{i \in k} \ell_i

    That is exact where the loss is a mean over samples. What looks at a batch as a whole sees each part as one: batch
    norm, losses that compare with a mean (``relativistic_average``), penalties that are one number for the batch; and
    random numbers are drawn for each part.

    Args:
        execution: of a part.
        count: how many parts.
    """

    def __init__(self, execution: Execution, count: int) -> None:
        self.name = execution.name  # type: ignore[misc]
        self._execution = execution
        self._count = count

    def forget(self) -> None:
        """See :meth:`Execution.forget`."""
        self._execution.forget()

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        parts = scene.parts(self._count)
        sizes = [len(part.z) for part in parts]
        weights = move.player.weights
        sums: list[Tensor] = []
        numbers: Numbers = {}
        loss = torch.zeros((), device=scene.z.device)
        for part, size in zip(parts, sizes, strict=True):
            share = size / sum(sizes)
            taken = self._execution.gradients(move, part, alone)
            loss = loss + share * taken.loss
            numbers = {name: numbers.get(name, 0) + share * value for name, value in taken.numbers.items()}
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
            if sums:
                torch._foreach_add_(sums, gradients, alpha=share)
            else:
                sums = list(torch._foreach_mul(gradients, share))
            scene.has_shown_reals |= part.has_shown_reals
        for weight, gradient in zip(weights, sums, strict=True):
            weight.grad = gradient if weight.grad is not None else None
        return Taken(loss, norm_of(sums), numbers)


class OverProcesses(Execution):
    r"""Averages a player's gradients over processes, and with them the numbers of its objective, in one reduction.

    .. math:: g = \frac1R \sum_k \nabla L_k

    So every process has the same gradients, takes the same updates, and plans by the same signals; and what is not
    finite in one of them is so in all.

    Args:
        execution: of this process's part of the batch.
        world: the processes.
    """

    def __init__(self, execution: Execution, world: World) -> None:
        self.name = execution.name  # type: ignore[misc]
        self._execution = execution
        self._world = world

    def forget(self) -> None:
        """See :meth:`Execution.forget`."""
        self._execution.forget()

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        taken = self._execution.gradients(move, scene, alone, last)
        gradients = [weight.grad for weight in move.player.weights if weight.grad is not None]
        numbers = torch.stack([taken.loss, *taken.numbers.values()]).float()
        self._world.average_([*gradients, numbers])
        loss, *values = numbers.unbind()
        norm = norm_of(gradients) if gradients else taken.norm
        return Taken(loss, norm, dict(zip(taken.numbers, values, strict=True)))


def in_a_line(error: Exception) -> str:
    """What was raised while tracing, or the beginning of what is often a page."""
    raised = re.search(r"raised exception (.*)", str(error))
    if raised:
        return raised[1]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or type(error).__name__
