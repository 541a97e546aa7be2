"""What each player minimizes."""

from collections.abc import Callable, Mapping
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poise.augment import Adaptive
from poise.balance import Balance, Role
from poise.losses import AdversarialLoss, judges_by_sign, looks_at_batch, pushes_real_up
from poise.parallel import batch
from poise.penalties import MEASURES, Scene, Side, Weighted, log_name, player_of
from poise.schedules import Number, value_at
from poise.trainer.checks import checked_values, require_shape, warn_of_constant, warn_of_probabilities

__all__ = ["STRENGTH", "Numbers", "Objective", "Objectives", "Turn"]

Numbers = dict[str, Tensor]

STRENGTH = "augment.p"
"""Under which name a scene's memory has the strength of augmentation, where that adapts itself."""


class Turn(NamedTuple):
    """What a move depends on beside the deal: how its parts weigh this time.

    Attributes:
        weights: of the penalties whose turn it is, by name.
        fake_weight: the factor of fakes in D's loss.
        top_k: the share of fakes that G is trained on.
    """

    weights: Mapping[str, float | Tensor] = MappingProxyType({})
    fake_weight: float | Tensor = 1.0
    top_k: float = 1.0

    @property
    def weighs_fakes(self) -> bool:
        """Whether fakes have a factor; most policies leave logits as they are."""
        return isinstance(self.fake_weight, Tensor) or self.fake_weight != 1

    @property
    def kind(self) -> tuple[Any, ...]:
        """What decides of which operations the objective is made; all else are factors."""
        return (*self.weights, self.weighs_fakes, self.top_k)

    @property
    def factors(self) -> list[float]:
        """The factors as numbers."""
        return [float(factor) for factor in (*self.weights.values(), self.fake_weight)]

    def with_factors(self, factors: Tensor) -> "Turn":
        """The same with the factors of a tensor, which a recorded or compiled objective reads anew each time."""
        *weights, fake_weight = factors.unbind()
        turn = self._replace(weights=dict(zip(self.weights, weights, strict=True)))
        return turn._replace(fake_weight=fake_weight) if self.weighs_fakes else turn


Objective = Callable[[Scene, Turn], tuple[Tensor, Numbers]]
"""What a player minimizes in a scene, and its parts by their log names."""


class Objectives:
    """The two players' objectives: loss times penalties, as the balance policy weighs them.

    Logits, losses and penalties are float32 in all precisions.

    Args:
        loss: the adversarial loss.
        penalties: further terms by name.
        balance: the policy, which may weigh fakes in D's loss and ask for measurements.
        top_k: the share of fakes that G is trained on, those with the highest logits.
        adapt: how D's verdicts on reals change the strength of augmentation, if they do.
    """

    def __init__(
        self,
        loss: AdversarialLoss,
        penalties: Mapping[str, Weighted],
        balance: Balance,
        top_k: Number = 1.0,
        adapt: Adaptive | None = None,
    ) -> None:
        self._loss = loss
        self._up = pushes_real_up(loss)
        self._by_sign = judges_by_sign(loss)
        self._penalties = {
            role: {name: term for name, term in penalties.items() if (term.to or player_of(term.penalty)) == role}
            for role in ("D", "G")
        }
        self._balance = balance
        self._measures = {name: MEASURES[name] for name in sorted(balance.needs)}
        self._top_k = top_k
        self._adapt = adapt
        self._gathers = looks_at_batch(loss) or top_k != 1
        self._looked_at: set[str] = set()
        self.g_uses_real = loss.g_uses_real or bool(self._penalties["G"])

    def turn(self, role: Role, update: int, kimg: float) -> Turn:
        """How the parts of a player's objective weigh.

        Args:
            role: whose.
            update: updates of the player before this one, which decide the penalties whose turn it is.
            kimg: thousands of real images shown.
        """
        factor = self._balance.penalty_factor if role == "D" else 1.0
        return Turn(
            {
                name: factor * value_at(term.weight, kimg)
                for name, term in self._penalties[role].items()
                if update % term.every == 0
            },
            self._balance.fake_weight,
            value_at(self._top_k, kimg),
        )

    def discriminator(self, scene: Scene, turn: Turn) -> tuple[Tensor, Numbers]:
        """The discriminator's objective, and its parts by their log names."""
        require_shape(scene.fake, scene.real)
        if turn.weights:
            scene.expect(self._sides(turn))
        real_logits, fake_logits = (view.logits for view in scene.views)
        if self._is_first("logits"):
            warn_of_probabilities(real_logits)
        real_logits, fake_logits = self._compared(real_logits), self._compared(fake_logits)
        d_loss = self._d_loss(real_logits, fake_logits, turn).mean()
        total, terms = self._with_penalties(d_loss, "D", scene, turn)
        real_scores, fake_scores = self._loss.scores(real_logits), self._loss.scores(fake_logits)
        return total, {
            "d_loss": d_loss,
            "d_loss_total": total,
            **terms,
            "d_real": real_scores.mean(),
            "d_fake": fake_scores.mean(),
            "d_accuracy": (real_scores > fake_scores if self._up else real_scores < fake_scores).float().mean(),
            **{name: measure(scene) for name, measure in self._measures.items()},
            **self._augmented(scene, real_scores, fake_scores),
        }

    def _augmented(self, scene: Scene, real_scores: Tensor, fake_scores: Tensor) -> Numbers:
        """How strong augmentation was; it becomes another one for the next scene where D's verdicts change it."""
        if scene.strength is None:
            return {}
        numbers = {"augment_p": scene.strength}
        if self._adapt is not None:
            middle = 0.0 if self._by_sign else (batch.mean(real_scores) + batch.mean(fake_scores)) / 2
            numbers["d_sign"] = batch.mean((real_scores - middle).sign() * (1 if self._up else -1))
            images = batch.processes() * len(scene.real)
            scene.memory[STRENGTH] = self._adapt(scene.strength, numbers["d_sign"], images).detach()
        return numbers

    def generator(self, scene: Scene, turn: Turn) -> tuple[Tensor, Numbers]:
        """The generator's objective, and its parts by their log names."""
        fake_logits = self._compared(scene.fake_logits)
        real_logits = self._compared(scene.real_logits).detach() if self._loss.g_uses_real else fake_logits
        g_loss = self._g_loss(real_logits, fake_logits, turn).mean()
        total, terms = self._with_penalties(g_loss, "G", scene, turn)
        return total, {
            "g_loss": g_loss,
            "g_loss_total": total,
            **terms,
            "d_fake_g": self._loss.scores(fake_logits).mean(),
        }

    def ahead(self, scene: Scene) -> dict[str, Callable[[], Tensor]]:
        """What makes the numbers of a scene that a policy may decide by before anyone moves, by their log names."""
        turn = self.turn("D", 0, scene.kimg)

        def logits() -> tuple[Tensor, Tensor]:
            return self._compared(scene.real_logits), self._compared(scene.fake_logits)

        return {
            "d_real": lambda: batch.mean(self._loss.scores(scene.real_logits)),
            "d_fake": lambda: batch.mean(self._loss.scores(scene.fake_logits)),
            "d_loss": lambda: batch.mean(self._d_loss(*logits(), turn)),
            "g_loss": lambda: batch.mean(self._g_loss(*logits(), turn)),
        }

    def _is_first(self, what: str) -> bool:
        """Whether something was not looked at before, where it can be: a program has no side."""
        if what in self._looked_at or torch.compiler.is_compiling():
            return False
        self._looked_at.add(what)
        return True

    def _compared(self, logits: Tensor) -> Tensor:
        """The logits that the loss is to see: those of the whole batch, where it compares a sample with others."""
        return batch.gathered(logits) if self._gathers else logits

    def _d_loss(self, real_logits: Tensor, fake_logits: Tensor, turn: Turn) -> Tensor:
        return self._loss.d(real_logits, turn.fake_weight * fake_logits if turn.weighs_fakes else fake_logits)

    def _g_loss(self, real_logits: Tensor, fake_logits: Tensor, turn: Turn) -> Tensor:
        return _of_best(self._loss.g(real_logits, fake_logits), self._loss.scores(fake_logits), turn.top_k)

    def _sides(self, turn: Turn) -> frozenset[Side]:
        """The sides of the scene at whose own samples penalties take D's gradient."""
        return frozenset().union(*(getattr(self._penalties["D"][name].penalty, "sides", ()) for name in turn.weights))

    def _with_penalties(self, loss: Tensor, role: Role, scene: Scene, turn: Turn) -> tuple[Tensor, Numbers]:
        total, terms = loss, {}
        scene.player = role
        for name, weight in turn.weights.items():
            penalty, _, every, _ = self._penalties[role][name]
            scene.entry = name
            values = checked_values(name, penalty(scene))
            if self._is_first(name):
                warn_of_constant(name, values)
            term = weight * values.mean()
            total, terms[log_name(name)] = total + every * term, term
        return total, terms


def _of_best(values: Tensor, scores: Tensor, share: float) -> Tensor:
    r"""The losses of the fakes that D takes most for real: :math:`k = \lceil share \cdot n \rceil` of them.

    Source: Sinha et al. 2020, Top-k Training of GANs, arXiv 2002.06224, equation 4.
    """
    n = len(values)
    k = min(max(ceil(share * n - 1e-9), 1), n)  # 0.07 * 100 is a little more than 7
    if k == n:
        return values
    return values[torch.topk(scores.reshape(n, -1).mean(1), k).indices]
