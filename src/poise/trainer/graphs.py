"""Phases as CUDA graphs."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from poise.penalties import Scene
from poise.trainer.execution import MOST_KINDS, TOO_MANY_KINDS, Check, Eager, Execution, Taken, in_a_line
from poise.trainer.moves import Move
from poise.trainer.objectives import Numbers, Turn

__all__ = ["CudaRecorder", "Graphs", "Recorder"]

_WARM_UPS = 3

_Play = Callable[[Sequence[Move], Scene], Numbers]


class Recorder(Protocol):
    """Records what is done on a device, to do it again."""

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Do work as it is done while recording, for libraries that set themselves up when they are first used."""

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Give what does the work, on the same memory, each time it is called."""


class CudaRecorder:
    """CUDA graphs: one launch for all kernels of the work."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """On a stream of its own, as capturing is."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            result = work()
        torch.cuda.current_stream().wait_stream(self._side)
        return result

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Capture; nothing is done yet."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = work()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


class _Factors:
    """The factors of an objective on the device, written only when they change."""

    def __init__(self, turn: Turn, device: torch.device) -> None:
        self._values = turn.factors
        self._tensor = torch.tensor(self._values, device=device)
        self._turn = turn.with_factors(self._tensor)

    def in_scene(self, scene: Scene) -> Turn:
        """What :attr:`Move.turn` is: they are the same in every scene."""
        return self._turn

    def set(self, turn: Turn) -> None:
        """Take the factors of now."""
        if turn.factors != self._values:
            self._values = turn.factors
            self._tensor.copy_(torch.tensor(self._values))


class _Recording:
    """A phase on memory of its own, done again there with the samples, factors and memories of now.

    Args:
        recorder: records.
        play: carries moves out.
        moves: the phase.
        turns: how the moves' objectives weigh.
        scene: a deal of its shapes.
    """

    def __init__(
        self, recorder: Recorder, play: _Play, moves: Sequence[Move], turns: Sequence[Turn], scene: Scene
    ) -> None:
        self._play = play
        self._factors = [_Factors(turn, scene.z.device) for turn in turns]
        self._scene = scene.on_copies()
        self._players = [move.player for move in moves]
        self._moves = [
            Move(
                move.player,
                its.in_scene,
                move.objective,
                move.player.advance if move.player.is_recordable else lambda: None,
            )
            for move, its in zip(moves, self._factors, strict=True)
        ]
        # What the work leaves behind where only its operations are recorded, not its Python.
        self._names: list[str] = []
        self._gradients: list[tuple[nn.Parameter, Tensor | None]] = []
        self._shows_reals = False
        self._replay = recorder.record(self._work)

    def _work(self) -> Tensor:
        scene, memory = self._scene.again(), dict(self._scene.memory)
        packed = _packed(self._play(self._moves, scene), self._names)
        for name, place in memory.items():
            place.copy_(scene.memory[name])
            scene.memory[name] = place
        self._gradients = [(weight, weight.grad) for player in self._players for weight in player.weights]
        self._shows_reals = scene.has_shown_reals
        return packed

    def replay(self, turns: Sequence[Turn], scene: Scene) -> Numbers:
        """Do it for another deal."""
        for place, given in zip(self._scene.deal, scene.deal, strict=True):
            if place is not None and given is not None:
                place.copy_(given)
        for factors, turn in zip(self._factors, turns, strict=True):
            factors.set(turn)
        for name, place in self._scene.memory.items():
            if scene.memory[name] is not place:
                scene.memory[name] = place.copy_(scene.memory[name])
        packed = self._replay().clone()  # the next replay writes over it
        for weight, gradient in self._gradients:
            weight.grad = gradient
        for player in self._players:
            if player.is_recordable:
                player.settle()
            else:
                player.update()
        scene.has_shown_reals = self._shows_reals
        return dict(zip(self._names, packed.unbind(), strict=True))


class Graphs(Execution):
    """Each kind of phase is recorded once and then replayed: passes, penalties, gradients, their check, updates.

    The first few phases of a kind are done eagerly, for libraries that set themselves up; then it is recorded. Numbers
    are those of eager execution. What cannot be recorded is executed eagerly: phases whose gradients are gathered or
    taken more than once, that begin before the policy has decided, or that warm the generator up; and all of a training
    whose networks change with progress, or in which something cannot be recorded, which a warning says once. Updates
    of optimizers of which more than the learning rate is scheduled follow a recorded phase.

    Args:
        recorder: records.
        optimizers: of the players; they are told to keep on the device what changes.
        changes: whether networks change with progress.
        deferred: whether the check reads nothing from the device.
    """

    name: ClassVar[str] = "graph"

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer], changes: bool, deferred: bool) -> None:
        self._eager = Eager()
        self._recorder = recorder
        self._recordings: dict[tuple[Any, ...], _Recording] = {}
        self._warm_ups: Counter[tuple[Any, ...]] = Counter()
        self._is_refused = False
        refusal = _refusal(optimizers, changes, deferred)
        if refusal:
            self._refuse(refusal)
        else:
            for optimizer in optimizers:
                _keep_on_device(optimizer)

    def forget(self) -> None:
        """See :meth:`Execution.forget`."""
        self._recordings.clear()
        self._warm_ups.clear()

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        return self._eager.gradients(move, scene, alone, last)

    def play(self, moves: Sequence[Move], scene: Scene, check: Check, alone: bool = True) -> Numbers:
        """See :meth:`Execution.play`."""
        play = partial(super().play, check=check, alone=alone)
        plain = all(move.player.is_plain and move.act == move.player.update for move in moves)
        if self._is_refused or scene.is_seen or not plain or moves[0].player.role == "W":
            return play(moves, scene)
        turns = [move.turn(scene) for move in moves]
        kind = _kind(moves, turns, scene)
        if kind not in self._warm_ups and len(self._warm_ups) == MOST_KINDS:
            self._refuse(TOO_MANY_KINDS)
            return play(moves, scene)
        if self._warm_ups[kind] < _WARM_UPS:
            self._warm_ups[kind] += 1
            return self._warm_up(play, moves, scene)
        try:
            if kind not in self._recordings:
                self._recordings[kind] = _Recording(self._recorder, play, moves, turns, scene)
        except Exception as error:  # whatever it is: eager execution does the same, or says what is wrong
            self._refuse(in_a_line(error))
            return play(moves, scene)
        return self._recordings[kind].replay(turns, scene)

    def _warm_up(self, play: _Play, moves: Sequence[Move], scene: Scene) -> Numbers:
        names: list[str] = []
        packed = self._recorder.warm_up(lambda: _packed(play(moves, scene), names))
        return dict(zip(names, packed.unbind(), strict=True))

    def _refuse(self, why: str) -> None:
        self._is_refused = True
        warnings.warn(f"going on without CUDA graphs: {why}", stacklevel=3)


def _kind(moves: Sequence[Move], turns: Sequence[Turn], scene: Scene) -> tuple[Any, ...]:
    """What a recording keeps: who moves, of which operations the objectives are made, and shapes."""
    return (
        *(move.player.role for move in moves),
        *(turn.kind for turn in turns),
        *(None if it is None else it.shape for it in scene.deal),
    )


def _packed(numbers: Numbers, names: list[str]) -> Tensor:
    """All numbers in one tensor; their names go into the list."""
    names[:] = numbers
    return torch.stack([value.detach().float() for value in numbers.values()])


def _refusal(optimizers: Sequence[Optimizer], changes: bool, deferred: bool) -> str:
    """Why nothing can be recorded, if so."""
    if changes:
        return "the networks change with progress"
    if not deferred:
        return "an optimizer cannot skip an update by a flag on the device; fused ones can"
    for optimizer in optimizers:
        if "capturable" not in optimizer.defaults and not optimizer.defaults.get("fused"):
            return f"{type(optimizer).__name__} cannot be recorded"
    return ""


def _keep_on_device(optimizer: Optimizer) -> None:
    """Let the count of steps and the learning rate be tensors on the device, so that a recording reads them anew."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if "capturable" in group:
            group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
