"""Phases as CUDA graphs."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from poise.penalties import Scene
from poise.trainer.execution import Check, Eager, Execution, Taken
from poise.trainer.moves import Move
from poise.trainer.objectives import Numbers

__all__ = ["CudaRecorder", "Graphs", "Recorder"]

_WARM_UPS = 3
_MOST_KINDS = 8


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


class _Recording(NamedTuple):
    """A phase on memory of its own.

    Attributes:
        real: where the real samples go, if there are any.
        z: where the latents go.
        names: the log names of the numbers.
        shows_reals: whether D sees the real samples.
        replay: carries the phase out and gives the numbers.
    """

    real: Tensor | None
    z: Tensor
    names: tuple[str, ...]
    shows_reals: bool
    replay: Callable[[], Tensor]


class Graphs(Execution):
    """Each kind of phase is recorded once and then replayed: passes, penalties, gradients, their check, updates.

    The first few phases of a kind are done eagerly, for libraries that set themselves up; then it is recorded. Numbers
    are those of eager execution. What cannot be recorded is executed eagerly: phases whose gradients are gathered or
    taken more than once, that begin before the policy has decided, or that warm the generator up; and all of a training
    whose networks or settings, but for learning rates, change with progress, or whose penalties or optimizers cannot be
    recorded, which a warning says once.

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

    def gradients(self, move: Move, scene: Scene, alone: bool = True, last: bool = True) -> Taken:
        """See :meth:`Execution.gradients`."""
        return self._eager.gradients(move, scene, alone, last)

    def play(self, moves: Sequence[Move], scene: Scene, check: Check, alone: bool = True) -> Numbers:
        """See :meth:`Execution.play`."""
        plain = all(move.player.is_plain and move.act == move.player.update for move in moves)
        if self._is_refused or scene.is_seen or not plain or moves[0].player.role == "W":
            return super().play(moves, scene, check, alone)
        kind = _kind(moves, scene)
        if kind not in self._recordings:
            if self._warm_ups[kind] < _WARM_UPS:
                self._warm_ups[kind] += 1
                return self._warm_up(moves, scene, check, alone)
            refusal = self._refusal_now(scene)
            if refusal:
                self._refuse(refusal)
                return super().play(moves, scene, check, alone)
            self._recordings[kind] = self._record(moves, scene, check, alone)
        return self._replay(self._recordings[kind], moves, scene)

    def _warm_up(self, moves: Sequence[Move], scene: Scene, check: Check, alone: bool) -> Numbers:
        names: list[str] = []

        def work() -> Tensor:
            return _packed(super(Graphs, self).play(moves, scene, check, alone), names)

        packed = self._recorder.warm_up(work)
        return dict(zip(names, packed.unbind(), strict=True))

    def _record(self, moves: Sequence[Move], scene: Scene, check: Check, alone: bool) -> _Recording:
        still = scene.on_copies()
        names: list[str] = []
        recorded = [move._replace(act=move.player.advance) for move in moves]

        def work() -> Tensor:
            return _packed(super(Graphs, self).play(recorded, still.again(), check, alone), names)

        replay = self._recorder.record(work)
        shows_reals = "d_real" in names or moves[0].player.role == "D"
        return _Recording(still.given_real, still.z, tuple(names), shows_reals, replay)

    def _replay(self, recording: _Recording, moves: Sequence[Move], scene: Scene) -> Numbers:
        recording.z.copy_(scene.z)
        if recording.real is not None:
            recording.real.copy_(scene.real)
        packed = recording.replay().clone()  # the next replay writes over it
        for move in moves:
            move.player.settle()
        scene.has_shown_reals = recording.shows_reals
        return dict(zip(recording.names, packed.unbind(), strict=True))

    def _refusal_now(self, scene: Scene) -> str:
        """Why one more kind cannot be recorded, if so."""
        if len(self._recordings) == _MOST_KINDS:
            return f"there are more than {_MOST_KINDS} kinds of phases, as where a weight changes every step"
        return "a penalty remembers something from step to step" if scene.memory else ""

    def _refuse(self, why: str) -> None:
        self._is_refused = True
        warnings.warn(f"going on without CUDA graphs: {why}", stacklevel=3)


def _kind(moves: Sequence[Move], scene: Scene) -> tuple[Any, ...]:
    """What a recording keeps: who moves, every number of Python's that has a part in it, and shapes."""
    turns = [move.turn(scene.kimg) for move in moves]
    return (
        *(move.player.role for move in moves),
        *((tuple(turn.weights.items()), turn.fake_weight, turn.top_k) for turn in turns),
        None if scene.given_real is None else scene.given_real.shape,
        scene.z.shape,
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
