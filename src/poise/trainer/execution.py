"""How a move is carried out on the machine: the seam between what is computed and how."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from poise.penalties import Scene
from poise.trainer.moves import Move
from poise.trainer.objectives import Numbers

__all__ = ["Eager", "Execution", "Taken"]


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


class Execution(ABC):
    """Takes gradients. Every execution gives the same numbers but for rounding."""

    name: ClassVar[str]

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
        loss, numbers = move.objective(scene, move.turn(scene.kimg))
        norm = move.player.gradients_of(loss, alone, last)
        return Taken(loss.detach(), norm, {name: value.detach() for name, value in numbers.items()})
