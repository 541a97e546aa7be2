"""What each player minimizes."""

from collections.abc import Callable, Mapping
from math import ceil

import torch
from torch import Tensor

from poise.balance import Balance, Role
from poise.losses import AdversarialLoss
from poise.penalties import MEASURES, Scene, Weighted, log_name, player_of
from poise.schedules import Number, value_at
from poise.trainer.checks import require_shape, warn_of_probabilities

__all__ = ["Numbers", "Objective", "Objectives"]

Numbers = dict[str, Tensor]

Objective = Callable[[Scene, int], tuple[Tensor, Numbers]]
"""What a player minimizes in a scene, given how often it has moved; and its parts by their log names."""


class Objectives:
    """The two players' objectives: loss times penalties, as the balance policy weighs them.

    Logits, losses and penalties are float32 in all precisions.

    Args:
        loss: the adversarial loss.
        penalties: further terms by name.
        balance: the policy, which may weigh fakes in D's loss and ask for measurements.
        top_k: the share of fakes that G is trained on, those with the highest logits.
    """

    def __init__(
        self, loss: AdversarialLoss, penalties: Mapping[str, Weighted], balance: Balance, top_k: Number = 1.0
    ) -> None:
        self._loss = loss
        self._penalties = {
            role: {name: term for name, term in penalties.items() if (term.to or player_of(term.penalty)) == role}
            for role in ("D", "G")
        }
        self._balance = balance
        self._measures = {name: MEASURES[name] for name in sorted(balance.needs)}
        self._top_k = top_k
        self._warned = False
        self.g_uses_real = loss.g_uses_real or bool(self._penalties["G"])

    def discriminator(self, scene: Scene, update: int) -> tuple[Tensor, Numbers]:
        """The discriminator's objective, and its parts by their log names.

        Args:
            scene: the deal.
            update: updates of the discriminator before this one, which decide the penalties whose turn it is.
        """
        require_shape(scene.fake, scene.real)
        real_logits, fake_logits = scene.real_logits, scene.fake_logits
        if not self._warned:
            self._warned = True
            warn_of_probabilities(real_logits)
        weight = self._balance.fake_weight
        d_loss = self._loss.d(real_logits, fake_logits if weight == 1 else weight * fake_logits).mean()
        total, terms = self._with_penalties(d_loss, "D", scene, update)
        real_scores, fake_scores = self._loss.scores(real_logits), self._loss.scores(fake_logits)
        return total, {
            "d_loss": d_loss,
            "d_loss_total": total,
            **terms,
            "d_real": real_scores.mean(),
            "d_fake": fake_scores.mean(),
            "d_accuracy": (real_scores > fake_scores).float().mean(),
            **{name: measure(scene) for name, measure in self._measures.items()},
        }

    def generator(self, scene: Scene, update: int) -> tuple[Tensor, Numbers]:
        """The generator's objective, and its parts by their log names.

        Args:
            scene: the deal; with real samples, for losses and penalties that look at them.
            update: updates of the generator before this one.
        """
        fake_logits = scene.fake_logits
        real_logits = scene.real_logits.detach() if self._loss.g_uses_real else fake_logits
        values = self._loss.g(real_logits, fake_logits)
        fake_scores = self._loss.scores(fake_logits)
        g_loss = _of_best(values, fake_scores, value_at(self._top_k, scene.kimg)).mean()
        total, terms = self._with_penalties(g_loss, "G", scene, update)
        return total, {"g_loss": g_loss, "g_loss_total": total, **terms, "d_fake_g": fake_scores.mean()}

    def scores(self, scene: Scene) -> dict[str, Callable[[], Tensor]]:
        """What makes the mean scores of a scene, by their log names."""
        return {
            "d_real": lambda: self._loss.scores(scene.real_logits).mean(),
            "d_fake": lambda: self._loss.scores(scene.fake_logits).mean(),
        }

    def _with_penalties(self, loss: Tensor, role: Role, scene: Scene, update: int) -> tuple[Tensor, Numbers]:
        total, terms = loss, {}
        scene.player = role
        for name, (penalty, weight, every, _) in self._penalties[role].items():
            if update % every == 0:
                term = value_at(weight, scene.kimg) * penalty(scene).mean()
                total, terms[log_name(name)] = total + every * term, term
        return total, terms


def _of_best(values: Tensor, scores: Tensor, share: float) -> Tensor:
    r"""The losses of the fakes that D takes most for real: :math:`k = \lceil share \cdot n \rceil` of them.

    Source: Sinha et al. 2020, Top-k Training of GANs, arXiv 2002.06224, equation 4.
    """
    n = len(values)
    k = min(max(ceil(share * n), 1), n)
    if k == n:
        return values
    return values[torch.topk(scores.reshape(n, -1).mean(1), k).indices]
