"""The contract of penalties."""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from poise.balance import Role
from poise.penalties import Penalty, Scene, player_of
from poise.testing.players import TinyDiscriminator, tiny_generator
from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, shown

__all__ = ["check_penalty"]

# No other dimension of what a scene holds is as large as the batch, so that none is taken for it.
_N, _Z_DIM = 5, 3
_ENTRY = "checked"
_NAMES = {"D": "discriminator", "G": "generator"}

# Factors of D's logits: some penalties look at steep critics only, or at such as judge reals better.
_STEEPNESS = (1.0, 20.0, -20.0)


@seeded()
def check_penalty(
    penalty: Penalty,
    *,
    to: Role | None = None,
    shapes: Sequence[Sequence[int]] = ((2,), (1, 4, 4)),
    gradcheck: bool = True,
) -> None:
    """Check that a penalty keeps what every penalty promises.

    It is called with scenes of tiny networks, as the trainer calls it: on vectors and on images, with one logit a
    sample and with patches, with its opponent frozen and not, with flat and with steep discriminators. The
    discriminator returns features beside its logits, and has the layers that the penalty names (``layers``).

    - It gives one value a sample, ``(n,)``, or one number, ``()``.
    - Values and gradients are finite, also where the discriminator is constant.
    - The same seed of torch's default generator gives the same values and gradients: nothing is drawn elsewhere, and
      nothing remembered but in the scene's ``memory``, which holds tensors without a graph, by names that begin with
      the scene's ``entry``.
    - In some of the scenes gradients reach weights of the player that it goes to.
    - First and second derivatives with respect to these weights are those that finite differences give, in float64.

    Args:
        penalty: the penalty.
        to: the player that minimizes it; the penalty's own if none is given.
        shapes: the samples that it is for.
        gradcheck: whether to compare derivatives with finite differences; False is for a penalty that holds a part of
            itself constant on purpose (``detach``).

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    if isinstance(penalty, type) or not callable(penalty):
        raise broken(
            "check_penalty",
            "a function of a scene",
            shown(penalty),
            "give a penalty, such as PENALTIES['r1'] or GradientPenalty(at, of)",
        )
    role = to or player_of(penalty)
    if role not in get_args(Role):
        raise broken("the penalty's player", "'D' or 'G'", repr(role), "set its attribute to, or give to=...")
    for shape in shapes:
        _Subject(penalty, role, tuple(shape)).check(gradcheck)


class _Game(nn.Module):
    """Two players and what they are dealt."""

    def __init__(self, shape: tuple[int, ...], logits: tuple[int, ...], layers: Sequence[str]) -> None:
        super().__init__()
        self.discriminator = TinyDiscriminator(shape, logits, layers)
        self.generator = tiny_generator(_Z_DIM, shape)
        self.register_buffer("real", torch.randn(_N, *shape))
        self.register_buffer("z", torch.randn(_N, _Z_DIM))
        self.layers = layers
        self.what = f"the penalty of samples {(_N, *shape)} with logits {(_N, *logits)}"

    def forward(self, penalty: Penalty, role: Role, memory: MutableMapping[str, Tensor]) -> Any:
        """The penalty of a scene, always with the same random numbers."""
        with seeded(1):
            scene = Scene(
                self.discriminator,
                real=self.get_buffer("real"),
                generator=self.generator,
                z=self.get_buffer("z"),
                layers=self.layers,
                memory=memory,
            )
            scene.player, scene.entry = role, _ENTRY
            return penalty(scene)


class _Subject:
    """A penalty that goes to a player, on samples of one shape."""

    def __init__(self, penalty: Penalty, role: Role, shape: tuple[int, ...]) -> None:
        self.penalty = penalty
        self.role: Role = role
        self.shape = shape
        self.layers: tuple[str, ...] = tuple(getattr(penalty, "layers", ()))

    def check(self, gradcheck: bool) -> None:
        games = list(self.games())
        active = [game for game in games if self.check_game(game)]
        if not active:
            raise broken(
                f"the penalty of samples {self.shape} in {len(games)} scenes",
                f"gradients by weights of the {_NAMES[self.role]}, which it goes to",
                "none, or zeros",
                "leave out detach() and no_grad(), take input gradients with create_graph=True, or give it to the "
                "other player with to=...",
            )
        if gradcheck:
            self.check_derivatives(active[0])
        self.check_constant_critic(games[0])

    def games(self) -> Iterator[_Game]:
        patches = [(1, 2, 2)] if len(self.shape) == 3 else []
        for logits in [(1,), *patches]:
            for steepness in _STEEPNESS:
                game = _Game(self.shape, logits, self.layers)
                game.discriminator.steepen(steepness)
                yield game

    def network(self, game: _Game) -> nn.Module:
        return game.discriminator if self.role == "D" else game.generator

    def check_game(self, game: _Game) -> bool:
        """Check a game, and say whether the player's weights have a gradient there."""
        memory: dict[str, Tensor] = {}
        value, gradients = self.evaluate(game, memory)
        again, gradients_again = self.evaluate(game, {})
        if not all(map(torch.equal, (value, *gradients), (again, *gradients_again))):
            raise broken(
                f"{game.what}, twice from one seed",
                "the same values and gradients",
                f"{value.flatten().tolist()} and {again.flatten().tolist()}",
                "draw random numbers from torch's default generator, and keep what must be remembered in scene.memory",
            )
        self.evaluate(game, memory, alone=False)
        return any(gradient.count_nonzero() for gradient in gradients)

    def evaluate(
        self, game: _Game, memory: MutableMapping[str, Tensor], alone: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """The penalty, and its mean's gradients by the player's weights, where the player moves alone or not."""
        game.requires_grad_(not alone)
        weights = list(self.network(game).requires_grad_(True).parameters())
        with attempt(game.what, "a penalty takes a scene, and D's logits from its critic() or logits()"):
            value = game(self.penalty, self.role, memory)
        self.require_values(game, value)
        self.require_memory(memory)
        if not value.requires_grad:
            return value, []
        with attempt(f"the gradient of {game.what}", "use differentiable functions of torch"):
            gradients = torch.autograd.grad(value.mean(), weights, allow_unused=True)
        there = [gradient for gradient in gradients if gradient is not None]
        self.require_finite(game, "gradients", there)
        return value, there

    def require_values(self, game: _Game, value: Any) -> None:
        seen = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
        if not isinstance(value, Tensor) or value.shape not in ((_N,), ()):
            raise broken(
                game.what,
                f"a tensor ({_N},), one value a sample, or () for what has none",
                seen,
                "sum over each sample's entries, average over its patches, and leave the batch's mean to the caller",
            )
        self.require_finite(game, "values", [value])

    @staticmethod
    def require_finite(game: _Game, noun: str, tensors: Sequence[Tensor]) -> None:
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise broken(
                game.what,
                f"finite {noun}",
                "NaN or infinity",
                "use torch.linalg.vector_norm, which has the gradient 0 at 0, where sqrt and division have none",
            )

    @staticmethod
    def require_memory(memory: MutableMapping[str, Any]) -> None:
        for name, value in memory.items():
            if not isinstance(value, Tensor) or value.requires_grad:
                raise broken(
                    f"scene.memory[{name!r}] after the penalty",
                    "a tensor without a graph, which can be saved",
                    "one with a graph" if isinstance(value, Tensor) else shown(value),
                    "keep tensors only, and detach() them",
                )
            if not name.startswith(f"{_ENTRY}."):
                raise broken(
                    "what the penalty keeps in scene.memory",
                    f"names that begin with scene.entry and a dot, here '{_ENTRY}.'",
                    repr(name),
                    "name it f'{scene.entry}.mean' or such, so that two penalties of a kind do not share it",
                )

    def check_derivatives(self, game: _Game) -> None:
        # In float64, where finite differences have enough digits.
        game.double().requires_grad_(False)
        prefix = _NAMES[self.role]
        weights = {name: weight for name, weight in game.named_parameters() if name.startswith(f"{prefix}.")}
        inputs = tuple(weight.clone().requires_grad_() for weight in weights.values())

        def value(*given: Tensor) -> Any:
            return functional_call(game, dict(zip(weights, given, strict=True)), (self.penalty, self.role, {}))

        advice = (
            "hold no part constant (detach, no_grad, item), keep the dtype, and take input gradients with "
            "create_graph=True; where a part is held constant on purpose, give gradcheck=False"
        )
        expected = "those of finite differences"
        with attempt(f"the derivatives of {game.what}", advice, expected):
            torch.autograd.gradcheck(value, inputs)
        with attempt(f"the second derivatives of {game.what}", advice, expected):
            torch.autograd.gradgradcheck(value, inputs, fast_mode=True)

    def check_constant_critic(self, game: _Game) -> None:
        game.float()
        game.what += ", which are constant"
        with torch.no_grad():
            for weight in game.discriminator.parameters():
                weight.zero_()
        self.evaluate(game, {})
