"""Policies that read signals."""

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from poise.balance.policy import Plan, Pretraining, count

__all__ = ["AdaptiveCritic", "Balanced", "LossRatio", "ProportionalControl"]

_D: Plan = (("D",),)
_G: Plan = (("G",),)


class Balanced(Pretraining):
    """The player who is behind moves: exactly one a step, decided on the very batch that it is then trained on.

    The first rule that matches decides:

    1. In the first ``pretrain_d`` steps D moves.
    2. With ``d_fake_balance``: D if there is no previous fake score or mean D(G(z)) is above it, else G; the previous
       score is updated either way. ``imbalance`` has no meaning then.
    3. D if mean D(x) < mean D(G(z)) + ``imbalance``, else G.

    The loss must push the scores of reals up.

    Args:
        imbalance: by how much reals are to score above fakes, in logits; any number.
        pretrain_d: in the first so many steps only D moves.
        d_fake_balance: compare the score of fakes with the one before instead.

    Raises:
        ValueError: when ``pretrain_d`` is negative or ``imbalance`` is not finite.
    """

    looks_ahead: ClassVar[bool] = True
    wants_real_up: ClassVar[bool] = True

    def __init__(self, imbalance: float = 0.1, pretrain_d: int = 0, d_fake_balance: bool = False) -> None:
        super().__init__(pretrain_d)
        self.imbalance: Final = _finite("imbalance", imbalance)
        self.d_fake_balance: Final = d_fake_balance
        self._previous: float | None = None

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """Rules 2 and 3."""
        if self.d_fake_balance:
            previous, self._previous = self._previous, signals["d_fake"]
            return _D if previous is None or self._previous > previous else _G
        return _D if signals["d_real"] < signals["d_fake"] + self.imbalance else _G

    def state_dict(self) -> dict[str, Any]:
        """The previous fake score."""
        return {"previous": self._previous}


class AdaptiveCritic(Pretraining):
    r"""The critic's steps before each of G's follow the norm of its input gradient.

    With :math:`m` the running mean of :math:`\|\nabla_{\hat x} D(\hat x)\|_2` (:math:`\hat x` uniformly on the lines
    between reals and fakes, where a critic that measures the Wasserstein distance has norm 1): if :math:`|m - target| >
    tolerance`, one step more than before, else one fewer, within [``min``, ``max``]. Of a step's norms the mean takes
    the last alone, that of D's update just before G's.

    Args:
        min: the fewest critic steps, at least 1, with which it begins.
        max: the most, at least ``min``.
        target: the norm of a good critic, at least 0.
        tolerance: the distance from it that is good enough, at least 0.
        momentum: what the running mean keeps of itself with each new norm, in [0, 1).
        pretrain_d: in the first so many steps only D moves, once a step.

    Raises:
        ValueError: when an argument is out of range.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"d_input_grad_norm"})

    def __init__(
        self,
        min: int = 1,  # noqa: A002 - the names that configs have
        max: int = 10,  # noqa: A002
        target: float = 1.0,
        tolerance: float = 0.1,
        momentum: float = 0.9,
        pretrain_d: int = 0,
    ) -> None:
        super().__init__(pretrain_d)
        self.min: Final = count("min", min, 1)
        if max < min:
            raise ValueError(f"max is {max}, min is {min}; max must be at least min")
        self.max: Final = max
        for name, value in (("target", target), ("tolerance", tolerance)):
            if _finite(name, value) < 0:
                raise ValueError(f"{name} is {value}; it must be at least 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; it must be at least 0 and below 1")
        self.target: Final = target
        self.tolerance: Final = tolerance
        self.momentum: Final = momentum
        self._d_steps = min
        self._mean: float | None = None

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """So many steps of D, then one of G."""
        norm = signals.get("d_input_grad_norm")
        if norm is not None:
            self._mean = norm if self._mean is None else self.momentum * self._mean + (1 - self.momentum) * norm
            more = abs(self._mean - self.target) > self.tolerance
            self._d_steps = min(self._d_steps + 1, self.max) if more else max(self._d_steps - 1, self.min)
        return _D * self._d_steps + _G

    def numbers(self) -> dict[str, float]:
        """``d_steps``, the critic's steps before the latest of G."""
        return {"d_steps": float(self._d_steps)}

    def state_dict(self) -> dict[str, Any]:
        """The critic's steps and the running mean."""
        return {"d_steps": self._d_steps, "mean": self._mean}


class LossRatio(Pretraining):
    r"""The player whose loss changes faster moves, one a step, on the very batch on which both losses were taken.

    With the adversarial losses of each player on this step's batch and on the one before, :math:`r = |(L - L') / L'|`,
    D moves if :math:`r_D > \lambda\, r_G`, else G. In the first step, which has none before it, both move.

    Both losses are taken in every step, whoever moves: a change that was measured when a player last moved would stay
    what it is while the player waits, and one that was small by chance would keep it waiting.

    Args:
        lambda_: the factor on G's change, above 0; larger ones let G move more often. ``lambda`` in configs.
        pretrain_d: in the first so many steps only D moves.

    Raises:
        ValueError: when an argument is out of range.

    Source: Ouyang and Agam 2021, Accelerated WGAN update strategy with loss change rate balancing, arXiv 2008.12463.
    """

    looks_ahead: ClassVar[bool] = True

    def __init__(self, lambda_: float = 1.0, pretrain_d: int = 0) -> None:
        super().__init__(pretrain_d)
        if not _finite("lambda", lambda_) > 0:
            raise ValueError(f"lambda is {lambda_}; it must be above 0")
        self.lambda_: Final = lambda_
        self._d_loss: float | None = None
        self._g_loss: float | None = None

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """Compare the two changes."""
        d_before, g_before = self._d_loss, self._g_loss
        d_loss, g_loss = signals["d_loss"], signals["g_loss"]
        self._d_loss, self._g_loss = d_loss, g_loss
        if d_before is None or g_before is None:
            return _D + _G
        return _D if _change(d_before, d_loss) > self.lambda_ * _change(g_before, g_loss) else _G

    def state_dict(self) -> dict[str, Any]:
        """The losses of the step before."""
        return {"d_loss": self._d_loss, "g_loss": self._g_loss}


def _change(before: float, now: float) -> float:
    """The relative change; none of a loss that stays 0."""
    if now == before:
        return 0.0
    return abs((now - before) / before) if before else math.inf


class ProportionalControl(Pretraining):
    r"""BEGAN's control of an autoencoder critic: the weight of fakes in D's loss keeps its errors in proportion.

    The critic's logit is minus its reconstruction error :math:`\mathcal L`, so that with the ``wasserstein`` loss

    .. math::
        L_D = \mathcal L(x) - k_t\, \mathcal L(G(z)), \qquad
        k_{t+1} = \operatorname{clip}(k_t + \lambda_k (\gamma \mathcal L(x) - \mathcal L(G(z))), 0, 1)

    and the measure of convergence is :math:`M = \mathcal L(x) + |\gamma \mathcal L(x) - \mathcal L(G(z))|`. D and G
    alternate. Scores above 0 are no such errors, of which it warns once.

    Args:
        gamma: the diversity ratio, in [0, 1]: the error on fakes over the error on reals at the equilibrium.
        lambda_k: the step of the control, above 0.
        pretrain_d: in the first so many steps only D moves.

    Raises:
        ValueError: when an argument is out of range.

    Source: Berthelot et al. 2017, BEGAN, arXiv 1703.10717, sections 3.3 to 3.5.
    """

    def __init__(self, gamma: float = 0.5, lambda_k: float = 0.001, pretrain_d: int = 0) -> None:
        super().__init__(pretrain_d)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is {gamma}; it must be between 0 and 1")
        if not _finite("lambda_k", lambda_k) > 0:
            raise ValueError(f"lambda_k is {lambda_k}; it must be above 0")
        self.gamma: Final = gamma
        self.lambda_k: Final = lambda_k
        self._k = 0.0
        self._convergence: float | None = None
        self._has_warned = False

    @property
    def fake_weight(self) -> float:  # type: ignore[override]
        """The weight :math:`k_t`."""
        return self._k

    def decide(self, signals: Mapping[str, float]) -> Plan:
        """Update :math:`k` by the errors of the step before; D, then G."""
        if "d_real" in signals and "d_fake" in signals:
            real, fake = -signals["d_real"], -signals["d_fake"]
            if min(real, fake) < 0 and not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    "proportional control reads minus D's mean scores as reconstruction errors, and they are "
                    f"{real:g} on reals and {fake:g} on fakes, where errors are at least 0: take a critic that is an "
                    "autoencoder, such as began, or another policy",
                    stacklevel=2,
                )
            difference = self.gamma * real - fake
            self._k = min(max(self._k + self.lambda_k * difference, 0.0), 1.0)
            self._convergence = real + abs(difference)
        return _D + _G

    def numbers(self) -> dict[str, float]:
        """``k``, and ``convergence``, the measure M of the step before."""
        return {"k": self._k} | ({} if self._convergence is None else {"convergence": self._convergence})

    def state_dict(self) -> dict[str, Any]:
        """The weight and the last measure of convergence."""
        return {"k": self._k, "convergence": self._convergence}


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be finite")
    return value
