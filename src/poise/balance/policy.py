"""What a balance policy is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Final, Literal

__all__ = ["Balance", "Combine", "Phase", "Plan", "Pretraining", "Role", "count"]

Role = Literal["D", "G"]
Phase = tuple[Role, ...]
Plan = tuple[Phase, ...]
Combine = Literal["average", "agree", "variance"]


class Balance(ABC):
    """A policy. The state of one that has any is in the checkpoint.

    Attributes:
        looks_ahead: whether the signals ``d_real``, ``d_fake``, ``d_loss`` and ``g_loss`` are to be those of the batch
            that the first phase is then played on, with the weights of now. The passes that make them are used again
            by that phase.
        needs: signals to be measured that are not there without being asked for, such as ``d_input_grad_norm``.
        wants_real_up: whether the policy takes higher scores of reals for a better D.
        combine: where G's gradient is to be taken beside each move of D in a step, how these become the one along which
            G moves at the end of the step; None where G moves along its own.
        fake_weight: what D's loss multiplies the logits of fakes by.
    """

    looks_ahead: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    wants_real_up: ClassVar[bool] = False
    combine: Combine | None = None
    fake_weight: float = 1.0

    @abstractmethod
    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """Say who moves in this step.

        Args:
            step: the number of steps done before this one.
            signals: the latest numbers by their log names (``d_real``, ``d_fake``, ...), averaged over all ranks. One
                that is not known yet is missing. Reading one may wait for the device, so a policy reads what it needs.

        Returns:
            The phases, in order.
        """

    @property
    def penalty_factor(self) -> float:
        """What the weights of D's penalties are multiplied by."""
        return 1.0

    @property
    def d_lr_factor(self) -> float:
        """What D's learning rate is multiplied by."""
        return 1.0

    @property
    def augment_more(self) -> float:
        """What is added to the probability of augmentation, where it does not adapt by itself."""
        return 0.0

    def numbers(self) -> dict[str, float]:
        """What the policy adds to the log, by log names."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs, as JSON values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave.

        Raises:
            ValueError: when another policy gave it.
        """
        if set(state) != set(self.state_dict()):
            raise ValueError(
                f"{type(self).__name__} has the state {sorted(self.state_dict())}, but was given {sorted(state)}"
            )
        for name, value in state.items():
            setattr(self, f"_{name}", deepcopy(value))


class Pretraining(Balance):
    """A policy in whose first steps only D moves. Subclasses are final.

    Args:
        pretrain_d: in the first so many steps only D moves, once a step.

    Raises:
        ValueError: when ``pretrain_d`` is negative.
    """

    def __init__(self, pretrain_d: int = 0) -> None:
        self.pretrain_d: Final = count("pretrain_d", pretrain_d, 0)

    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """Only D while it is pretrained; then see :meth:`decide`."""
        return (("D",),) if step < self.pretrain_d else self.decide(signals)

    @abstractmethod
    def decide(self, signals: Mapping[str, float]) -> Plan:
        """Say who moves in a step after the pretraining."""


def count(name: str, value: int, least: int) -> int:
    """A count that is at least ``least``.

    Raises:
        ValueError: when it is less.
    """
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")
    return value
