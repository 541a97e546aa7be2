r"""Wrappers that change how an optimizer walks, against the rotation that games have and single losses do not.

A wrapper stands around an optimizer of ``torch.optim``, its base, or around another wrapper; it is an optimizer
itself. Write :math:`w_t` for the weights and :math:`\Delta_t` for the displacement that the base makes at update t:
alone it would go to :math:`w_t + \Delta_t`. SGD's is :math:`-\eta\,g(w_t)`. An update of :class:`Extragradient` takes
two gradients, one of the others takes one.

Displacements are measured, not computed, so that any base will do. Each is the one that the base makes at the weights
where the gradient was taken; weight decay therefore acts like a term of the loss. A weight without a gradient makes
no update: it stays where it is, and so does what is remembered of it.

Wrappers compose from the inside out: ``Lookahead(Extragradient(Adam(weights)))`` looks ahead over whole updates of
extragradient. :class:`Lookahead` belongs outermost, because it takes weights back to where they were.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from poise.errors import ConfigError

__all__ = [
    "WRAPPERS",
    "Extragradient",
    "Lookahead",
    "NegativeMomentum",
    "Optimistic",
    "Wrapper",
    "match_memory_format",
]

# What a wrapper remembers of a weight: where it stood, and the way back from its last update, start minus end.
_START, _BACK = "start", "back"


class Wrapper(Optimizer, ABC):
    """An optimizer around another one. Subclasses are final.

    The parameter groups are the base's own, so a learning rate that is set on either holds. Step hooks, state hooks and
    learning rate schedulers work as on any optimizer; gradient scaling inside of fused steps does not.

    Args:
        base: the optimizer inside, over the same weights.

    Attributes:
        base: the optimizer inside.
        evaluations: the gradients that an update takes, each at the point where the last call of :meth:`step` left the
            weights. Of the class: for a base that takes one; of an instance: times those of its base.

    Raises:
        ConfigError: when ``base`` is no optimizer, or one that cannot be wrapped.
    """

    evaluations: int = 1
    base: Final[Optimizer]

    # The settings, by the names of their arguments.
    _settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, base: Optimizer) -> None:
        if not isinstance(base, Optimizer) or isinstance(base, LBFGS):
            raise _refusal(type(self).__name__, base)
        # Optimizer.__init__ would make parameter groups of its own. This sets up all else, as it does for a copy.
        self.__setstate__({"defaults": dict(base.defaults)})
        self.base = base
        self.state = defaultdict(dict)
        self.evaluations = type(self).evaluations * _evaluations(base)
        self._evaluation = 0

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The parameter groups of the base."""
        return self.base.param_groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group to the base."""
        self.base.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Take the gradients off the weights, or set them to zero."""
        self.base.zero_grad(set_to_none)

    # A step.

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Use the gradients that are on the weights: those of one of the ``evaluations`` of an update.

        Args:
            closure: called once, before anything moves; puts the gradients on the weights and returns the loss.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._before()
        self.base.step()
        self._evaluation += 1
        updates, rest = divmod(self._evaluation, _evaluations(self.base))
        if rest == 0 and updates >= self._span:
            self._evaluation = 0
            weights = self._started()
            starts = [self.state[weight].pop(_START) for weight in weights]
            if weights:
                self._end(weights, starts)
        return loss

    @torch.no_grad()
    def abandon(self) -> None:
        """Leave out an update of which not all gradients were used: the weights go back to where it began."""
        if isinstance(self.base, Wrapper):
            self.base.abandon()
        self._evaluation -= self._evaluation % _evaluations(self.base)

    @property
    @abstractmethod
    def _span(self) -> int:
        """The number of the base's updates from one start to the next."""

    @abstractmethod
    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        """End a span of ``weights``, those that had a gradient in it; ``starts`` may be used up."""

    def _before(self) -> None:
        """Remember where the weights that have a gradient stand, but for those that have had one in this span."""
        weights = [it for it in self._weights() if it.grad is not None and _START not in self.state[it]]
        if weights:
            starts = [torch.empty_like(weight) for weight in weights]
            torch._foreach_copy_(starts, weights)
            for weight, start in zip(weights, starts, strict=True):
                self.state[weight][_START] = start

    def _started(self) -> list[Tensor]:
        """The weights that have had a gradient in this span."""
        return [weight for weight in self._weights() if _START in self.state.get(weight, ())]

    def _ways_back(self, weights: list[Tensor]) -> list[Tensor]:
        """What each weight's last update left in memory; zeros before its first."""
        for weight in weights:
            if _BACK not in self.state[weight]:
                self.state[weight][_BACK] = torch.zeros_like(weight)
        return [self.state[weight][_BACK] for weight in weights]

    def _keep_ways_back(self, weights: list[Tensor], ways: list[Tensor]) -> None:
        for weight, way in zip(weights, ways, strict=True):
            self.state[weight][_BACK] = way

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.param_groups for weight in group["params"]]

    # The state.

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs, also in the middle of an update, as nested dicts of tensors and JSON values.

        Returns:
            ``class``: this one's name around those inside, ``Optimistic(Adam)``; ``base``: the base's own state;
            ``weights``: what is remembered of each weight, by its place among all; ``evaluation``: how far the update
            is. Settings such as ``alpha`` are not in it. The tensors are not copied, as in ``torch.optim``.
        """
        for prepare in self._optimizer_state_dict_pre_hooks.values():
            prepare(self)
        remembered = [self.state.get(weight) for weight in self._weights()]
        state: dict[str, Any] = {
            "class": _name(self),
            "evaluation": self._evaluation,
            "weights": {place: dict(memory) for place, memory in enumerate(remembered) if memory},
            "base": self.base.state_dict(),
        }
        for change in self._optimizer_state_dict_post_hooks.values():
            changed = change(self, state)
            state = state if changed is None else changed
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave. Settings such as ``alpha`` stay as they are now.

        Raises:
            ValueError: when the state is not one of the same wrappers around the same class of optimizer, over weights
                of the same shapes; nothing is loaded then.
        """
        state = dict(state_dict)
        for change in self._optimizer_load_state_dict_pre_hooks.values():
            changed = change(self, state)
            state = state if changed is None else changed
        if state.get("class") != _name(self):
            raise ValueError(
                f"the saved state is that of {state.get('class', 'an optimizer without a wrapper')}, and this is "
                f"{_name(self)}, which cannot take it; wrap the same optimizer as when it was saved"
            )
        remembered = self._placed(state["weights"])
        self.base.load_state_dict(state["base"])
        match_memory_format(self.base)
        self._evaluation = state["evaluation"]
        self.state = defaultdict(dict)
        for weight, memory in remembered.items():
            # Copies in the weight's memory format: they will be changed in place.
            self.state[weight] = {name: torch.empty_like(weight).copy_(value) for name, value in memory.items()}
        for prepare in self._optimizer_load_state_dict_post_hooks.values():
            prepare(self)

    def _placed(self, remembered: Mapping[int, Mapping[str, Tensor]]) -> dict[Tensor, Mapping[str, Tensor]]:
        """What was remembered, by the weights that are in those places now."""
        weights = self._weights()
        for place, memory in remembered.items():
            shape = tuple(weights[place].shape) if place < len(weights) else None
            for value in memory.values():
                if tuple(value.shape) != shape:
                    here = "there is none here" if shape is None else f"here it has {shape}"
                    raise ValueError(
                        f"weight {place} of the saved {_name(self)} has shape {tuple(value.shape)}, {here}; load it "
                        "into an optimizer of the same network"
                    )
        return {weights[place]: memory for place, memory in remembered.items()}

    def __getstate__(self) -> dict[str, Any]:
        names = ("defaults", "base", "state", "evaluations", "_evaluation", *self._settings)
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        settings = "".join(f", {name}={getattr(self, name)}" for name in self._settings)
        return f"{type(self).__name__}({self.base!r}{settings})"


def _refusal(name: str, base: object) -> ConfigError:
    if isinstance(base, LBFGS):
        return ConfigError(f"{name} cannot wrap LBFGS, which moves the weights many times in a step; take Adam or SGD")
    given = f"the class {base.__name__}" if isinstance(base, type) else f"a {type(base).__name__}"
    return ConfigError(f"{name} was given {given}; give an optimizer, such as {name}(torch.optim.Adam(weights))")


def _evaluations(optimizer: Optimizer) -> int:
    return optimizer.evaluations if isinstance(optimizer, Wrapper) else 1


def _name(optimizer: Optimizer) -> str:
    """``Lookahead(Optimistic(Adam))``."""
    name = type(optimizer).__name__
    return f"{name}({_name(optimizer.base)})" if isinstance(optimizer, Wrapper) else name


class Optimistic(Wrapper):
    r"""Takes each displacement twice and takes back the last one, as if the next were going to be like it.

    .. math:: w_{t+1} = w_t + 2\,\Delta_t - \Delta_{t-1}, \qquad \Delta_0 = 0

    Around Adam this is Optimistic Adam, around SGD optimistic gradient descent. The base's moments are those of the
    gradients alone.

    Args:
        base: the optimizer inside.

    Raises:
        ConfigError: when ``base`` is no optimizer, or one that cannot be wrapped.

    Source: Daskalakis et al. 2017, Training GANs with Optimism, arXiv 1711.00141, algorithm 1.
    """

    _span = 1

    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        before = self._ways_back(weights)
        torch._foreach_sub_(starts, weights)  # the base has gone Δ, so this is -Δ
        torch._foreach_sub_(weights, starts)
        torch._foreach_add_(weights, before)
        self._keep_ways_back(weights, starts)


class NegativeMomentum(Wrapper):
    r"""Adds a part of the last step, with a negative factor: a brake on rotation.

    .. math:: w_{t+1} = w_t + \Delta_t + \beta\,(w_t - w_{t-1}), \qquad w_0 = w_1

    where :math:`w_t - w_{t-1}` is the step that this wrapper made last. It is meant for players that move in turn
    (alternating balance), and for a base without momentum of its own.

    Args:
        base: the optimizer inside.
        beta: the factor, in (-1, 1).

    Raises:
        ValueError: when ``beta`` is out of range.
        ConfigError: when ``base`` is no optimizer, or one that cannot be wrapped.

    Source: Gidel et al. 2018, Negative Momentum for Improved Game Dynamics, arXiv 1807.04740.
    """

    _settings = ("beta",)
    _span = 1

    def __init__(self, base: Optimizer, beta: float = -0.5) -> None:
        super().__init__(base)
        if not -1 < beta < 1:
            raise ValueError(f"beta is {beta}; it must be above -1 and below 1")
        self.beta: Final = beta

    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        torch._foreach_add_(weights, self._ways_back(weights), alpha=-self.beta)
        torch._foreach_sub_(starts, weights)
        self._keep_ways_back(weights, starts)


class Lookahead(Wrapper):
    r"""Lets the base walk for k updates, then keeps a part of the way.

    .. math:: w_{t+k} = w_t + \alpha\,(\hat w_{t+k} - w_t)

    with :math:`\hat w_{t+k}` where the base has come to. The papers' slow weights are :math:`w_t`: they exist only from
    a start to its end, when the fast weights become equal to them. The base's moments are kept. A weight that has had a
    gradient in the k updates takes part in the end, with or without one at the last of them.

    For a game, give both players such a wrapper, with a ``k`` in proportion to the updates that each makes in a step.
    Where they move at once, this is the joint step of the second paper; in turn, one takes its end before the other.

    Args:
        base: the optimizer inside.
        k: updates from one start to the next, at least 1.
        alpha: the part of the way that is kept, above 0 and at most 1; 1 leaves the base as it is.

    Raises:
        ValueError: when ``k`` or ``alpha`` is out of range.
        ConfigError: when ``base`` is no optimizer, or one that cannot be wrapped.

    Source: Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back, arXiv 1907.08610, algorithm 1; in
    games: Chavdarova et al. 2020, Taming GANs with Lookahead-Minmax, arXiv 2006.14567, algorithm 1.
    """

    _settings = ("k", "alpha")

    def __init__(self, base: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__(base)
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha is {alpha}; it must be above 0 and at most 1")
        self.k: Final = k
        self.alpha: Final = alpha

    @property
    def _span(self) -> int:
        return self.k

    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        torch._foreach_lerp_(weights, starts, 1 - self.alpha)


class Extragradient(Wrapper):
    r"""Goes from where it stands, but along the gradient of where it would come to.

    .. math:: w_{t+1/2} = w_t + \Delta(w_t), \qquad w_{t+1} = w_t + \Delta(w_{t+1/2})

    An update takes two gradients and two calls of :meth:`~Wrapper.step`. The first call leaves the weights at the
    extrapolated point :math:`w_{t+1/2}`, where the second gradient is to be taken; the second leaves them at
    :math:`w_{t+1}`. The base makes a step of its own in each, so that Adam's moments and their bias corrections move on
    at both, as in ExtraAdam. It is a method for players that move at once (simultaneous balance).

    Args:
        base: the optimizer inside.

    Raises:
        ConfigError: when ``base`` is no optimizer, or one that cannot be wrapped.

    Source: Korpelevich 1976, The extragradient method for finding saddle points and other problems; for GANs: Gidel et
    al. 2018, A Variational Inequality Perspective on Generative Adversarial Networks, arXiv 1802.10551, algorithm 4.
    """

    evaluations = 2
    _span = 2

    def _before(self) -> None:
        half = _evaluations(self.base)
        if self._evaluation < half:
            super()._before()
        elif self._evaluation == half and (weights := self._started()):
            # From here on w_t - w_{t+1/2}. A weight whose first gradient comes now has not been extrapolated.
            torch._foreach_sub_([self.state[weight][_START] for weight in weights], weights)

    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        torch._foreach_add_(weights, starts)

    @torch.no_grad()
    def abandon(self) -> None:
        """See :meth:`Wrapper.abandon`."""
        used, half = self._evaluation, _evaluations(self.base)
        super().abandon()
        self._evaluation = 0
        weights = self._started()
        starts = [self.state[weight].pop(_START) for weight in weights]
        if weights and used > half:
            torch._foreach_add_(weights, starts)
        elif weights and used == half:
            torch._foreach_copy_(weights, starts)


def match_memory_format(optimizer: Optimizer) -> None:
    """Lay out what an optimizer remembers of each weight in memory as the weight itself, such as channels-last.

    ``Optimizer.load_state_dict`` keeps the layout that a state was saved in. A fused step walks through the memory of a
    weight and its moments side by side: where the layouts differ it pairs the wrong elements, or raises. The wrappers
    do this to their base when they load.

    Args:
        optimizer: one that has just loaded a state.
    """
    for weight, memory in optimizer.state.items():
        for name, value in memory.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                memory[name] = torch.empty_like(weight, dtype=value.dtype, device=value.device).copy_(value)


WRAPPERS: Mapping[str, type[Wrapper]] = MappingProxyType(
    {
        "optimistic": Optimistic,
        "negative_momentum": NegativeMomentum,
        "lookahead": Lookahead,
        "extragradient": Extragradient,
    }
)
"""Every wrapper by its name."""
