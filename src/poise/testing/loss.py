"""The contract of losses."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from poise.losses import AdversarialLoss, pushes_real_up
from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, require_kind

__all__ = ["check_loss"]

Player = Literal["d", "g"]
_PLAYERS: tuple[Player, ...] = ("d", "g")

_N = 5
_EXTREME = 50.0


@seeded()
def check_loss(
    loss: AdversarialLoss,
    outputs: int | Sequence[int] | None = None,
    *,
    real_up: bool = True,
    gradcheck: bool = True,
) -> None:
    """Check that a loss keeps what every loss promises.

    - Both players' functions give one value a sample, ``(n,)``, for logits ``(n,)`` and ``(n, 1)`` alike, and for those
      of the shape that is given.
    - A value belongs to the sample in its place: samples in another order have the same values in that order.
    - D's function looks at reals and at fakes.
    - Logits of two shapes are refused, unless G's function does not look at reals.
    - Values and gradients are finite where logits are 50 and -50.
    - Gradients are those that finite differences give, in float64.
    - ``g_uses_real`` tells the truth.
    - D's function raises the logits of reals above those of fakes, and G's raises those of fakes that lie below.

    Args:
        loss: the loss.
        outputs: the logits of a sample: how many, or of which shape, as ``(1, 4, 4)`` for patches; if none is given,
            what the loss says itself (its ``outputs``), or one.
        real_up: whether the loss is to push reals up; with False that is not looked at.
        gradcheck: whether to compare gradients with finite differences; False is for a loss that holds a part of
            itself constant on purpose (``detach``).

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    advice = "give one, such as losses.hinge() or AdversarialLoss(d, g), not the function that makes it"
    require_kind(loss, AdversarialLoss, "check_loss", "an AdversarialLoss", advice)
    subject = _Subject(loss, _shape(loss, outputs))
    subject.check_values()
    subject.check_sides()
    for player in _PLAYERS:
        subject.check_extremes(player)
        if gradcheck:
            subject.check_gradients(player)
    subject.check_g_uses_real()
    subject.check_refusals()
    if real_up:
        subject.check_directions()


def _shape(loss: AdversarialLoss, outputs: int | Sequence[int] | None) -> tuple[int, ...]:
    """The shape of a sample's logits."""
    if outputs is None:
        return (loss.outputs or 1,)
    shape = (outputs,) if isinstance(outputs, int) else tuple(outputs) or (1,)
    if loss.outputs is not None and shape != (loss.outputs,):
        raise broken(
            "check_loss",
            f"outputs={loss.outputs}, as the loss says itself",
            f"outputs={outputs}",
            "leave outputs out, or change the loss's outputs",
        )
    return shape


class _Subject:
    """A loss, with logits of a shape that it reads."""

    def __init__(self, loss: AdversarialLoss, shape: tuple[int, ...]) -> None:
        self.loss = loss
        self.shape = shape

    def values(self, player: Player, real: Tensor, fake: Tensor) -> Tensor:
        """One player's values, of the right shape."""
        of = self.loss.d if player == "d" else self.loss.g
        what = f"loss.{player} of logits {tuple(real.shape)}"
        with attempt(what, "a loss takes (real_logits, fake_logits), two tensors of one shape"):
            values = of(real, fake)
        require_kind(values, Tensor, what, "a tensor", "return the values of the samples")
        if values.shape != real.shape[:1]:
            raise broken(
                what,
                f"values of shape {tuple(real.shape[:1])}, one a sample",
                f"shape {tuple(values.shape)}",
                "average within each sample, as poise.losses.per_sample does, and not over them, as the caller does",
            )
        return values

    def logits(self, level: Tensor) -> Tensor:
        """Logits that are as real as ``level`` says, ``(n,)``."""
        if self.loss.outputs is not None:
            return level[:, None] * torch.linspace(-1, 1, self.loss.outputs).to(level)
        return level.reshape(-1, *(1 for _ in self.shape)).expand(-1, *self.shape)

    def draw(self) -> Tensor:
        return torch.randn(_N, *self.shape)

    def check_values(self) -> None:
        for player in _PLAYERS:
            self.values(player, self.draw(), self.draw())
            if self.loss.outputs is None:
                self.check_columns(player)
            self.check_places(player)

    def check_columns(self, player: Player) -> None:
        real, fake = torch.randn(2, _N, 1)
        column, vector = self.values(player, real, fake), self.values(player, real[:, 0], fake[:, 0])
        if not _is_close(column, vector):
            raise broken(
                f"loss.{player} of the same logits as ({_N}, 1) and as ({_N},)",
                "the same values",
                f"{column.tolist()} and {vector.tolist()}",
                "flatten all but the first dimension before values are combined",
            )

    def check_places(self, player: Player) -> None:
        """A value moves with its sample. The exchange of two and the rotation of all make every other order."""
        real, fake = self.draw(), self.draw()
        values = self.values(player, real, fake)
        for order in (torch.tensor([1, 0, *range(2, _N)]), torch.arange(_N).roll(1)):
            seen = self.values(player, real[order], fake[order])
            if not _is_close(seen, values[order]):
                raise broken(
                    f"loss.{player} of the same samples in the order {order.tolist()}",
                    f"the same values in that order, {values[order].tolist()}",
                    f"{seen.tolist()}",
                    "give the value of each sample in its place: top-k training picks fakes by it",
                )

    def check_sides(self) -> None:
        """D learns from both: a change of either side's logits changes values."""
        real, fake = self.draw(), self.draw()
        values = self.values("d", real, fake)
        others = [self.draw() for _ in range(4)]
        moved = {
            "real": (self.values("d", other, fake) for other in others),
            "fake": (self.values("d", real, other) for other in others),
        }
        for side, seen in moved.items():
            if all(torch.equal(values, it) for it in seen):
                raise broken(
                    f"loss.d at other {side} logits",
                    "other values",
                    "the same",
                    "let D's function look at both its arguments: a discriminator that is shown one side only learns "
                    "to call everything so",
                )

    def check_refusals(self) -> None:
        """Shapes that broadcasting would take in silence: a column and a vector, and batches of two sizes."""
        for player in _PLAYERS[: 2 if self.loss.g_uses_real else 1]:
            of = self.loss.d if player == "d" else self.loss.g
            column, single = torch.zeros(_N, *self.shape), torch.zeros(1, *self.shape)
            for real, fake in ((column, torch.zeros(_N)), (column, single), (single, column)):
                try:
                    values = of(real, fake)
                except Exception:
                    continue
                raise broken(
                    f"loss.{player} of real logits {tuple(real.shape)} and fake logits {tuple(fake.shape)}",
                    "a refusal, because shapes that differ broadcast in silence",
                    f"values of shape {tuple(values.shape)}",
                    "compare the shapes and raise a ShapeError; poise.losses.per_sample does so",
                )

    def check_extremes(self, player: Player) -> None:
        for levels in product((-_EXTREME, _EXTREME), repeat=2):
            real, fake = (self.logits(torch.full((_N,), level)).clone().requires_grad_() for level in levels)
            values = self.values(player, real, fake)
            self.require_finite(f"loss.{player}", levels, values, "values")
            if values.requires_grad:
                for gradient in torch.autograd.grad(values.sum(), (real, fake), allow_unused=True):
                    if gradient is not None:
                        self.require_finite(f"loss.{player}", levels, gradient, "gradients")

    @staticmethod
    def require_finite(what: str, levels: tuple[float, ...], tensor: Tensor, noun: str) -> None:
        if not tensor.isfinite().all():
            raise broken(
                f"{what} where reals have logits {levels[0]:g} and fakes {levels[1]:g}",
                f"finite {noun}",
                f"{tensor.flatten()[~tensor.flatten().isfinite()][0].item()}",
                "write it with functions that do not overflow: softplus for log(1 + exp), logsigmoid for log(sigmoid), "
                "logsumexp",
            )

    def check_gradients(self, player: Player) -> None:
        real, fake = (self.draw().double().requires_grad_() for _ in range(2))
        with attempt(
            f"the gradients of loss.{player}",
            "use differentiable functions of torch on the logits alone, and keep their dtype; where a part is held "
            "constant on purpose, give gradcheck=False",
            expected="those of finite differences",
        ):
            torch.autograd.gradcheck(lambda a, b: self.values(player, a, b), (real, fake))

    def check_g_uses_real(self) -> None:
        fake, *reals = (self.draw() for _ in range(5))
        first, *others = (self.values("g", real, fake) for real in reals)
        uses = any(not torch.equal(first, other) for other in others)
        if uses == self.loss.g_uses_real:
            return
        what = f"loss.g at other real logits, with g_uses_real={self.loss.g_uses_real}"
        if uses:
            raise broken(
                what,
                "the same values",
                "others",
                "give AdversarialLoss(..., g_uses_real=True): without it the trainer spares D's pass over reals, and G "
                "is given fake logits in their place",
            )
        raise broken(
            what, "other values", "the same", "leave g_uses_real out, so that the trainer spares D's pass over reals"
        )

    def check_directions(self) -> None:
        advice = (
            "a higher logit means more real: exchange the sides or the sign; or give real_up=False if it is meant so"
        )
        # Multiples of 1/32, symmetric about 0: their sums are exact, so that a loss without a preference gives 0.
        spread = (torch.arange(64, dtype=torch.float64) - 31.5) / 16
        of_reals, of_fakes = self.slopes("d", spread, spread.flip(0))
        wrong = [words for words, holds in (("lowers reals", of_reals > 0), ("raises fakes", of_fakes < 0)) if holds]
        if wrong or not pushes_real_up(self.loss):
            raise broken(
                "descent along loss.d",
                "the logits of reals raised above those of fakes",
                f"that it {' and '.join(wrong) or 'moves neither side'}",
                advice,
            )
        _, of_fakes = self.slopes("g", spread + 0.25, spread.flip(0) - 0.25)
        if not of_fakes < 0:
            raise broken(
                "descent along loss.g",
                "the logits of fakes raised",
                f"that it {'lowers' if of_fakes > 0 else 'leaves'} them",
                advice,
            )

    def slopes(self, player: Player, real: Tensor, fake: Tensor) -> tuple[float, float]:
        """How the mean value changes as all reals, and as all fakes, rise."""
        rises = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        value = self.values(player, self.logits(real + rises[0]), self.logits(fake + rises[1])).mean()
        if not value.requires_grad:
            return 0.0, 0.0
        (slopes,) = torch.autograd.grad(value, rises)
        return slopes[0].item(), slopes[1].item()


def _is_close(one: Tensor, other: Tensor) -> bool:
    """Equal but for what another order of sums does in float32."""
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)
