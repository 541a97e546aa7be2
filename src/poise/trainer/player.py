"""A player of the game: a network, its trainable weights and its optimizer."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from poise.balance import Combine
from poise.constraints import Constrained
from poise.errors import ConfigError
from poise.optimizers import Wrapper, match_memory_format
from poise.schedules import Scheduled
from poise.trainer.gather import GATHERINGS, Average

__all__ = ["OptimizerFactory", "Player", "norm_of"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

_NAMES = {"D": "discriminator", "G": "generator"}


class Player:
    """One of the players.

    Args:
        role: ``"D"`` or ``"G"``, or another letter for one that only warms up.
        module: its network. Weights that do not require gradients now never will.
        make_optimizer: gives the optimizer of the trainable weights.
        constraints: what is done to the weights after updates.
        combine: how gathered gradients become one.

    Attributes:
        updates: how often it moved.
        evaluations: how many gradients the optimizer takes for one update.

    Raises:
        ConfigError: when the network has nothing to train.
    """

    def __init__(
        self,
        role: str,
        module: nn.Module,
        make_optimizer: OptimizerFactory,
        constraints: Sequence[Constrained] = (),
        combine: Combine | None = None,
    ) -> None:
        self.role = role
        self.module = module
        self._constraints = constraints
        for constraint, _, _ in constraints:
            constraint.prepare(module)
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        if not self.weights:
            raise ConfigError(f"the {_NAMES.get(role, 'network')} has no weight that requires_grad")
        if not callable(make_optimizer) or isinstance(make_optimizer, Optimizer):
            raise ConfigError(
                f"{role.lower()}_optimizer is a {type(make_optimizer).__name__}; give a function that makes it of the "
                "weights, such as partial(torch.optim.Adam, lr=1e-4)"
            )
        self.optimizer = make_optimizer(self.weights)
        self.evaluations: int = getattr(self.optimizer, "evaluations", 1)
        self._schedule = make_optimizer if isinstance(make_optimizer, Scheduled) else None
        self._settings = _settings(self.optimizer)
        self._combine = combine
        self._gathering = GATHERINGS[combine or "average"]
        self._gathered: Average | None = None
        self._kimg = 0.0
        self._lr_factor = 1.0
        self._taken = 0
        self.updates = 0

    def progress(self, kimg: float, lr_factor: float = 1.0) -> None:
        """Take the settings of the optimizer for ``kimg`` thousand real images.

        Args:
            kimg: where schedules are.
            lr_factor: what the learning rate is multiplied by.
        """
        self._kimg = kimg
        scheduled = {} if self._schedule is None else self._schedule.at(kimg)
        is_changed = lr_factor != self._lr_factor
        self._lr_factor = lr_factor
        for group, given in zip(self.optimizer.param_groups, self._settings, strict=True):
            settings = dict(scheduled)
            if "lr" in settings or is_changed:
                settings["lr"] = lr_factor * settings.get("lr", given["lr"])
            for name, value in settings.items():
                _set(group, name, value)

    @property
    def is_plain(self) -> bool:
        """Whether an update takes one gradient of one deal."""
        return self.evaluations == 1 and self._combine is None

    @property
    def is_recordable(self) -> bool:
        """Whether an update is the same operations each time: a learning rate may be on the device, no other number."""
        return self._schedule is None or self._schedule.at(self._kimg).keys() <= {"lr"}

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

    def gradients_of(self, loss: Tensor, alone: bool = True, last: bool = True) -> Tensor:
        """Put the gradients of ``loss`` on the weights.

        Args:
            loss: what is minimized, ``()``.
            alone: whether no other weights have a part in its graph. Naming one's own takes time.
            last: whether the graph is not used again.

        Returns:
            The gradients' Euclidean norm over all weights, ``()``.
        """
        self.optimizer.zero_grad(set_to_none=True)
        inputs = None if alone else [weight for weight in self.weights if weight.requires_grad]
        torch.autograd.backward(loss, inputs=inputs, retain_graph=not last)
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        return norm_of(gradients) if gradients else loss.new_zeros(())

    def gather(self) -> None:
        """Keep the gradients for the next update."""
        gradients = [weight.grad for weight in self._moving() if weight.grad is not None]
        if self._gathered is None:
            self._gathered = self._gathering(gradients)
        else:
            self._gathered.add(gradients)

    def _moving(self) -> list[nn.Parameter]:
        """The weights that have gradients: not all do in a network that grows."""
        return [weight for weight in self.weights if weight.grad is not None]

    def update(self) -> None:
        """Move the weights along their gradients, and along those that were gathered."""
        self.advance()
        self.settle()

    def advance(self) -> None:
        """The update, but for what :meth:`settle` does."""
        if self._gathered is not None:
            self.gather()
            for weight, gradient in zip(self._moving(), self._gathered.result(), strict=True):
                weight.grad = gradient
            self._gathered = None
        self.optimizer.step()

    def settle(self) -> None:
        """Count an update, and hold the weights to their constraints."""
        self._taken += 1
        if self._taken < self.evaluations:
            return
        self._taken = 0
        self.updates += 1
        for constraint, _, every in self._constraints:
            if self.updates % every == 0:
                constraint.project(self.module, self._kimg)

    def abandon(self) -> None:
        """Leave out an update of which some gradients were taken or gathered."""
        self._gathered, self._taken = None, 0
        if isinstance(self.optimizer, Wrapper):
            self.optimizer.abandon()

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
        for group, saved in zip(self.optimizer.param_groups, state["optimizer"].get("param_groups", []), strict=False):
            for name in _WITH_MORE_STATE:
                if group.get(name) and not saved.get(name):
                    raise ValueError(
                        f"{self.role.lower()}_optimizer.{name} is on, and the saved state is of an optimizer without it"
                    )
        settings = [
            {name: group[name] for name in given}
            for group, given in zip(self.optimizer.param_groups, self._settings, strict=True)
        ]
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # which would go on changing what it was given
        match_memory_format(self.optimizer)
        for group, kept, given in zip(self.optimizer.param_groups, settings, self._settings, strict=True):
            group.update(kept)  # what recorded programs read, or have switched on, stays there
            for name, value in given.items():
                if name != "capturable":
                    _set(group, name, value)
        self._lr_factor = 1.0
        self._gathered, self._taken = None, 0
        self.updates = state["updates"]


# Options of torch's optimizers by which they remember more of each weight.
_WITH_MORE_STATE = ("amsgrad", "centered")


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm over all entries of some gradients, ``()``."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return norm


def _set(group: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(group[name], Tensor):
        group[name].fill_(value)  # recorded programs read it
    else:
        group[name] = value


def _settings(optimizer: Optimizer) -> list[dict[str, Any]]:
    """What the constructor was told, for each group; whatever else a group holds is state."""
    innermost = optimizer
    while isinstance(innermost, Wrapper):
        innermost = innermost.base
    options = inspect.signature(type(innermost)).parameters
    return [
        {name: value for name, value in group.items() if name in options and name != "params"}
        for group in optimizer.param_groups
    ]
