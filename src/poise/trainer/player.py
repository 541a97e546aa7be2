"""A player of the game: a network, its trainable weights and its optimizer."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from poise.errors import ConfigError

__all__ = ["OptimizerFactory", "Player"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class Player:
    """One of the two players.

    Args:
        role: ``"D"`` or ``"G"``.
        module: its network. Weights that do not require gradients now never will.
        make_optimizer: gives the optimizer of the trainable weights.

    Raises:
        ConfigError: when the network has nothing to train.
    """

    def __init__(self, role: str, module: nn.Module, make_optimizer: OptimizerFactory) -> None:
        self.role = role
        self.module = module
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        if not self.weights:
            raise ConfigError(f"the {'discriminator' if role == 'D' else 'generator'} has no weight that requires_grad")
        if not callable(make_optimizer) or isinstance(make_optimizer, Optimizer):
            raise ConfigError(
                f"{role.lower()}_optimizer is a {type(make_optimizer).__name__}; give a function that makes it of the "
                "weights, such as partial(torch.optim.Adam, lr=1e-4)"
            )
        self.optimizer = make_optimizer(self.weights)
        self._settings = [_settings(group) for group in self.optimizer.param_groups]
        self.updates = 0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while, let no weight require gradients: none is computed where the opponent moves."""
        trained = [weight for weight in self.weights if weight.requires_grad]
        for weight in trained:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in trained:
                weight.requires_grad_(True)

    def gradients_of(self, loss: Tensor) -> Tensor:
        """Put the gradients of ``loss`` on the weights; return their Euclidean norm over all weights."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        if not gradients:
            return loss.new_zeros(())
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        return norm

    def update(self) -> None:
        """Move the weights along their gradients."""
        self.optimizer.step()
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the count of updates; the network's weights are saved beside it."""
        kind = type(self.optimizer).__name__
        return {"class": kind, "optimizer": self.optimizer.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave, but for settings: learning rates and the like stay as they are now.

        Raises:
            ValueError: when another class of optimizer saved it.
        """
        kind = type(self.optimizer).__name__
        if state["class"] != kind:
            raise ValueError(
                f"{self.role.lower()}_optimizer was a {state['class']} and is a {kind} now, which cannot take its state"
            )
        self.optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(self.optimizer.param_groups, self._settings, strict=True):
            group.update(settings)
        self.updates = state["updates"]


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
