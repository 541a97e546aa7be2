"""Moves as compiled programs."""

from __future__ import annotations  # nested functions are traced, and their annotations would be too

import warnings
from collections.abc import Sequence
from itertools import count
from types import FunctionType, MethodType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from poise.penalties import Deal, Scene
from poise.trainer.execution import MOST_KINDS, TOO_MANY_KINDS, Eager, Execution, Taken, in_a_line
from poise.trainer.moves import Move
from poise.trainer.objectives import Numbers, Turn

__all__ = ["Compiled"]

_Tensors = dict[str, Tensor]

_numbers = count()


class Compiled(Execution):
    """Each kind of move is one program of ``torch.compile``: passes, penalties, gradients and their norm.

    Derivatives are taken by ``torch.func`` inside the program, so that penalties on gradients are part of it. Random
    numbers are those of eager execution. What cannot be compiled is executed eagerly: a warm-up, phases in which the
    players share their passes, and whatever ``torch.compile`` refuses, which a warning says once.

    Args:
        changes: whether networks change with progress, which a program would not see.
        backend: of ``torch.compile``.
    """

    name: ClassVar[str] = "compile"

    def __init__(self, changes: bool = False, backend: str = "inductor") -> None:
        self._backend = backend
        self._eager = Eager()
        self._programs: dict[tuple[Any, ...], _Program] = {}
        self._is_refused = False
        if changes:
            self._refuse("the networks change with progress")

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        is_player = move.player.module in (scene.discriminator, scene.generator)
        if self._is_refused or not is_player or not alone or scene.is_seen:
            return self._eager.gradients(move, scene, alone, last)
        if scene.options["layers"]:
            self._refuse("a penalty looks at what inner layers put out")
            return self._eager.gradients(move, scene, alone, last)
        turn = move.turn(scene)
        kind = (move.player.role, *turn.kind)
        try:
            if kind not in self._programs:
                if len(self._programs) == MOST_KINDS:
                    raise RuntimeError(TOO_MANY_KINDS)
                self._programs[kind] = _Program(move, scene, turn, self._backend)
            return self._programs[kind](scene, turn)
        except Exception as error:  # whatever it is: eager execution does the same, or says what is wrong
            self._refuse(in_a_line(error))
            return self._eager.gradients(move, scene, alone, last)

    def _refuse(self, why: str) -> None:
        self._is_refused = True
        warnings.warn(f"going on without compiling: {why}", stacklevel=3)


class _Program:
    """One kind of move as a function of tensors.

    Args:
        move: whose gradients, and of what.
        scene: a deal.
        turn: which penalties are part of it.
        backend: of ``torch.compile``.
    """

    def __init__(self, move: Move, scene: Scene, turn: Turn, backend: str) -> None:
        self._game = _Game(move, scene, turn)
        own = {id(weight) for weight in move.player.weights}
        self._weights: _Tensors = {name: it for name, it in self._game.named_parameters() if id(it) in own}
        self._stats = dict(self._game.named_buffers())
        # PyTorch keeps only a few programs for one function, which are those of all trainers: so each has its own.
        code = _Program._gradients.__code__
        own_function = FunctionType(code.replace(co_name=f"{code.co_name}_{next(_numbers)}"), globals())
        options: dict[str, Any] = {"guard_filter_fn": _may_change}
        if backend == "inductor":
            options["fallback_random"] = True  # only this one would draw random numbers in a way of its own
        self._compiled = torch.compile(
            MethodType(own_function, self), fullgraph=True, dynamic=False, backend=backend, options=options
        )

    def __call__(self, scene: Scene, turn: Turn) -> Taken:
        """Put the gradients on the player's weights, and what else came of the move where it belongs."""
        factors = torch.tensor(turn.factors, device=scene.z.device)
        with torch.no_grad():
            loss, norm, numbers, gradients, stats, memory = self._compiled(
                self._weights, self._stats, scene.deal, dict(scene.memory), factors
            )
            if stats:
                torch._foreach_copy_(list(self._stats.values()), [stats[name] for name in self._stats])
        for name, weight in self._weights.items():
            weight.grad = gradients[name]
        scene.memory.update(memory)
        scene.has_shown_reals = "d_real" in numbers
        return Taken(loss, norm, numbers)

    def _gradients(
        self, weights: _Tensors, stats: _Tensors, deal: Deal, memory: _Tensors, factors: Tensor
    ) -> tuple[Tensor, Tensor, Numbers, _Tensors, _Tensors, _Tensors]:
        def loss_of(weights: _Tensors) -> tuple[Tensor, tuple[Numbers, _Tensors, _Tensors]]:
            # Modules move their statistics in place, which may not be done to what comes from outside.
            state = {**weights, **{name: it.clone() for name, it in stats.items()}}
            loss, numbers, kept = functional_call(self._game, state, (deal, memory, factors))
            return loss, (numbers, {name: state[name] for name in stats}, kept)

        gradients, (loss, (numbers, moved, kept)) = grad_and_value(loss_of, has_aux=True)(weights)
        norm = torch.stack([it.square().sum() for it in gradients.values()]).sum().sqrt()
        gradients = {name: _laid_out_as(weights[name], it) for name, it in gradients.items()}
        return loss, norm, numbers, gradients, moved, kept


class _Game(nn.Module):
    """A move's objective as a module of both networks, so that it can be called with other tensors for their own."""

    def __init__(self, move: Move, scene: Scene, turn: Turn) -> None:
        super().__init__()
        self.discriminator = scene.discriminator
        self.generator = scene.generator
        self._objective = move.objective
        self._options = scene.options
        self._turn = turn

    def forward(self, deal: Deal, memory: _Tensors, factors: Tensor) -> tuple[Tensor, Numbers, _Tensors]:
        """The loss, its parts, and what penalties keep."""
        # A penalty that reads how far training is cannot be part of a program, which would keep the number.
        scene = Scene(
            self.discriminator,
            generator=self.generator,
            **deal._asdict(),
            memory=dict(memory),
            kimg=None,
            **self._options,
        )
        loss, numbers = self._objective(scene, self._turn.with_factors(factors))
        return loss, numbers, dict(scene.memory)


def _laid_out_as(weight: Tensor, gradient: Tensor) -> Tensor:
    """As autograd itself does it: fused optimizers take no notice of strides."""
    return gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)


def _may_change(guards: Sequence[Any]) -> list[bool]:
    """What a program asks each time before it runs, which takes long: not for functions, and PyTorch's own layers."""
    layers = torch.compiler.skip_guard_on_inbuilt_nn_modules_unsafe(guards)  # type: ignore[no-untyped-call]
    functions = torch.compiler.skip_guard_on_globals_unsafe(guards)  # type: ignore[no-untyped-call]
    return [*map(all, zip(layers, functions, strict=True))]
