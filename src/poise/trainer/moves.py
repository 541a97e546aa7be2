"""The moves of the game: what each role does, with whom it shares a snapshot, and how often a phase is played."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from poise.balance import Role
from poise.penalties import Scene
from poise.trainer.objectives import Objective, Objectives, Turn
from poise.trainer.player import Player
from poise.trainer.warmup import WarmUp

__all__ = ["ON_NEW_SAMPLES", "Move", "Moves", "Phase"]

Phase = tuple[str, ...]
"""Roles that move together: the players', and two that only the trainer knows, ``+G`` (gather) and ``W`` (warm up)."""

ON_NEW_SAMPLES = frozenset({"D", "W"})
"""The roles that move on real samples of their own."""


class Move(NamedTuple):
    """What a role does: the player whose gradients are taken, of what, and what then becomes of them.

    Attributes:
        player: whose gradients.
        turn: how the parts of the objective weigh in a scene.
        objective: of what.
        act: what becomes of them.
    """

    player: Player
    turn: Callable[[Scene], Turn]
    objective: Objective
    act: Callable[[], None]


class Moves:
    """Every move by its role.

    Args:
        players: the two players.
        objectives: what they minimize.
        warmup: how the generator begins.
        device: where the networks are.
    """

    def __init__(
        self, players: Mapping[Role, Player], objectives: Objectives, warmup: WarmUp | None, device: torch.device
    ) -> None:
        d, g = players["D"], players["G"]
        self._players = players
        self._warmup_steps = 0 if warmup is None else warmup.steps
        self._rounds: dict[Phase, list[list[Move]]] = {}
        d_turn, g_turn = (
            lambda scene, role=role, player=player: objectives.turn(role, player.updates, scene.kimg)
            for role, player in players.items()
        )
        self._moves = {
            "D": Move(d, d_turn, objectives.discriminator, d.update),
            "G": Move(g, g_turn, objectives.generator, g.update),
            "+G": Move(g, g_turn, objectives.generator, g.gather),
        }
        if warmup is not None:
            player = Player("W", warmup.begin(g.module).to(device).train(), warmup.optimizer)
            self._moves["W"] = Move(
                player, lambda scene: Turn(), lambda scene, turn: warmup.objective(scene, player.updates), player.update
            )

    def __getitem__(self, role: str) -> Move:
        """The move of a role."""
        return self._moves[role]

    @property
    def optimizers(self) -> Iterator[Optimizer]:
        """All optimizers."""
        return (move.player.optimizer for move in self._moves.values())

    def rounds(self, phase: Phase) -> list[list[Move]]:
        """The moves of a phase, as often as their optimizers take gradients for one update; mostly once."""
        if phase not in self._rounds:
            moves = [self._moves[role] for role in phase]
            most = max(move.player.evaluations for move in moves)
            self._rounds[phase] = [
                [move for move in moves if move.player.evaluations >= left] for left in range(most, 0, -1)
            ]
        return self._rounds[phase]

    def only(self, phase: Phase) -> AbstractContextManager[None]:
        """A context in which D is frozen where G moves alone; where D does, the scene makes no graph through G."""
        return self._players["D"].frozen() if phase == ("G",) else nullcontext()

    def end_warmup(self, steps: int) -> None:
        """Forget the warm-up when it is over after ``steps`` steps in all."""
        if steps >= self._warmup_steps:
            self._moves.pop("W", None)
            self._rounds.pop(("W",), None)

    def abandon(self) -> None:
        """Leave out the updates of which some gradients were taken."""
        for move in self._moves.values():
            move.player.abandon()

    def require_warmup(self, steps: int) -> None:
        """Refuse to go back to a warm-up that was forgotten.

        Raises:
            ValueError: when it was, and is not over after ``steps`` steps.
        """
        if steps < self._warmup_steps and "W" not in self._moves:
            raise ValueError(
                f"it is of step {steps}, inside the warm-up of {self._warmup_steps} steps, of which this trainer has "
                "kept nothing, as it is over here; load it into a new trainer"
            )

    def state_dict(self) -> dict[str, Any]:
        """The players' optimizers, and the warm-up while it lasts."""
        state: dict[str, Any] = {
            f"{role.lower()}_optimizer": player.state_dict() for role, player in self._players.items()
        }
        if "W" in self._moves:
            player = self._moves["W"].player
            state["warmup"] = {"network": player.module.state_dict(), "optimizer": player.state_dict()}
        return state

    def load_state_dict(self, state: Mapping[str, Any], steps: int) -> None:
        """Take back what :meth:`state_dict` gave after ``steps`` steps.

        Raises:
            KeyError: when something is missing.
            ValueError: when another class of optimizer saved it.
        """
        for role, player in self._players.items():
            player.load_state_dict(state[f"{role.lower()}_optimizer"])
        self.end_warmup(steps)
        if "W" in self._moves:
            player = self._moves["W"].player
            player.module.load_state_dict(state["warmup"]["network"])
            player.load_state_dict(state["warmup"]["optimizer"])
