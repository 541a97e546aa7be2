r"""Penalties on the discriminator's input gradient: where it is taken, times what is done with it.

A :class:`GradientPenalty` is a pair of pure functions. ``at(real, fake)`` gives the points :math:`\hat x`; with
:math:`g_i = \nabla_{\hat x_i} D(\hat x_i)`, flattened to ``(n, d)``, ``of(g)`` gives the penalty of each sample,
``(n,)``. Norms are Euclidean, over all entries of a sample.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from poise.errors import ConfigError
from poise.parallel import batch
from poise.penalties.derivative import input_gradients
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Role, Scene, Side

__all__ = [
    "GradientPenalty",
    "dragan",
    "input_gradient_norm",
    "max_gp",
    "r1",
    "r2",
    "roth",
    "wgan_gp",
    "zero_gp",
]


class GradientPenalty(NamedTuple):
    """Where D's input gradient is taken, and what is done with it.

    The points are constants: the penalty is a function of D's weights alone, and a trainer refuses it for the
    generator.

    Attributes:
        at: ``(real, fake) -> points``, all of shape ``(n, ...)``. May draw from torch's default generator.
        of: ``gradients (n, d) -> (n,)``.
    """

    at: Callable[[Tensor, Tensor], Tensor]
    of: Callable[[Tensor], Tensor]

    @property
    def acts_on(self) -> frozenset[Role]:
        """The discriminator."""
        return frozenset({"D"})

    @property
    def sides(self) -> frozenset[Side]:
        """The side of the scene whose samples are the points themselves, so that its pass can be shared."""
        return _SIDES.get(self.at, frozenset())

    def __call__(self, scene: Scene) -> Tensor:
        """The penalty of each sample, ``(n,)``, differentiable with respect to D's weights."""
        for side in self.sides:
            return self.of(scene.input_gradients(side)[1])
        return self.of(input_gradients(scene.critic, self.at(scene.real, scene.fake))[1])


# Where.


def _real(real: Tensor, fake: Tensor) -> Tensor:
    return real


def _fake(real: Tensor, fake: Tensor) -> Tensor:
    return fake


def _between(real: Tensor, fake: Tensor) -> Tensor:
    r"""Points uniformly drawn on the lines between pairs: :math:`u x + (1 - u) G(z)`, one u a sample."""
    u = batch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, u)


def _around_real(real: Tensor, fake: Tensor, spread: float) -> Tensor:
    """Perturbed reals: noise uniform in [0, ``spread`` standard deviations of the batch) is added."""
    return real + spread * batch.std(real) * batch.rand_like(real)


# The points that have a pass of their own in every scene.
_SIDES: Mapping[Callable[[Tensor, Tensor], Tensor], frozenset[Side]] = {
    _real: frozenset({"real"}),
    _fake: frozenset({"fake"}),
}


# What.


def _squared_norm(gradients: Tensor) -> Tensor:
    return gradients.square().sum(1)


def _half_squared_norm(gradients: Tensor) -> Tensor:
    return 0.5 * _squared_norm(gradients)


def _greatest_squared_norm(gradients: Tensor) -> Tensor:
    return batch.gathered(_squared_norm(gradients)).max().expand(len(gradients))


def _squared_distance(gradients: Tensor, target: float) -> Tensor:
    # vector_norm has the subgradient 0 at 0, where sqrt(sum(g^2)) would give NaN.
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=1)
    return (norms - target).square()


def _squared_excess(gradients: Tensor, target: float) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=1)
    return (norms - target).relu().square()


# The penalties.


def wgan_gp(target: float = 1.0, one_sided: bool = False) -> GradientPenalty:
    r"""The gradient penalty of WGAN-GP: norms between reals and fakes are drawn to a target.

    .. math:: (\|\nabla D(\hat x)\| - t)^2, \qquad \hat x = u x + (1 - u) G(z), \quad u \sim U(0, 1)

    One-sided, only norms above the target count: :math:`\max(0, \|\nabla D(\hat x)\| - t)^2`, as a 1-Lipschitz
    function may be flatter. Some divide by :math:`t^2`; this does not.

    Args:
        target: the norm t, at least 0 and finite.
        one_sided: leave norms below the target alone.

    Raises:
        ConfigError: when the target is out of range.

    Source: Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv 1704.00028, equation 3, with lambda
    10; one-sided: the same, section 4; Petzka et al. 2018, On the regularization of Wasserstein GANs, arXiv
    1709.08894.
    """
    _require_at_least_0("target", target)
    return GradientPenalty(at=_between, of=partial(_squared_excess if one_sided else _squared_distance, target=target))


def r1() -> GradientPenalty:
    r"""Half the squared norm at reals, so that the weight is the paper's gamma.

    .. math:: \tfrac12 \|\nabla D(x)\|^2

    Source: Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406, equation
    9.
    """
    return GradientPenalty(at=_real, of=_half_squared_norm)


def r2() -> GradientPenalty:
    r"""Half the squared norm at fakes, so that the weight is the paper's gamma.

    .. math:: \tfrac12 \|\nabla D(G(z))\|^2

    Source: Mescheder et al. 2018, arXiv 1801.04406, equation 10.
    """
    return GradientPenalty(at=_fake, of=_half_squared_norm)


def zero_gp() -> GradientPenalty:
    r"""The squared norm between reals and fakes, not halved.

    .. math:: \|\nabla D(\hat x)\|^2, \qquad \hat x = u x + (1 - u) G(z), \quad u \sim U(0, 1)

    D is the logit here, as everywhere.

    Source: Thanh-Tung et al. 2019, Improving Generalization and Stability of Generative Adversarial Networks, arXiv
    1902.03984, the penalty named 0-GP; points and factor are those of the authors' code.
    """
    return GradientPenalty(at=_between, of=_squared_norm)


def dragan(target: float = 1.0, spread: float = 0.5) -> GradientPenalty:
    r"""The gradient penalty of DRAGAN: norms around reals are drawn to a target.

    .. math:: (\|\nabla D(x + c\,s\,u)\| - t)^2, \qquad u \sim U(0, 1)^d

    with s the standard deviation of all entries of the batch.

    Args:
        target: the norm t, at least 0 and finite.
        spread: how far around, the factor c, at least 0 and finite.

    Raises:
        ConfigError: when an option is out of range.

    Source: Kodali et al. 2017, On Convergence and Stability of GANs, arXiv 1705.07215; the noise is that of the
    authors' code.
    """
    _require_at_least_0("target", target)
    _require_at_least_0("spread", spread)
    return GradientPenalty(at=partial(_around_real, spread=spread), of=partial(_squared_distance, target=target))


def max_gp() -> GradientPenalty:
    r"""The greatest squared norm in the batch, between reals and fakes; every sample is given it.

    .. math:: \max_i \|\nabla D(\hat x_i)\|^2, \qquad \hat x_i = u_i x_i + (1 - u_i) G(z_i), \quad u_i \sim U(0, 1)

    A gradient flows through the samples that reach the maximum alone.

    Source: Zhou et al. 2019, Lipschitz Generative Adversarial Nets, arXiv 1902.05687; Zhou et al. 2019, Towards
    Efficient and Unbiased Implementation of Lipschitz Continuity in GANs, arXiv 1904.01184, there named MaxGP.
    """
    return GradientPenalty(at=_between, of=_greatest_squared_norm)


@dataclass(frozen=True)
class _Roth:
    acts_on: ClassVar[frozenset[Role]] = frozenset({"D"})
    sides: ClassVar[frozenset[Side]] = frozenset({"real", "fake"})

    def __call__(self, scene: Scene) -> Tensor:
        a, at_real = scene.input_gradients("real")
        b, at_fake = scene.input_gradients("fake")
        real = torch.sigmoid(-a).square() * _squared_norm(at_real)  # sigmoid(-a) = 1 - sigmoid(a), without cancellation
        fake = torch.sigmoid(b).square() * _squared_norm(at_fake)
        return 0.5 * (real + fake)


def roth() -> Penalty:
    r"""The penalty that noise on all samples amounts to, for the non-saturating and minimax losses.

    .. math::
        \tfrac12 \left[ (1 - \sigma(D(x)))^2 \|\nabla D(x)\|^2 + \sigma(D(G(z)))^2 \|\nabla D(G(z))\|^2 \right]

    Gradients are those of the logit with respect to the samples. The paper puts gamma / 2 before the bracket; the
    half is here, so that the weight is the paper's gamma, which it anneals. Of several logits a sample (patches) D is
    the mean.

    Source: Roth et al. 2017, Stabilizing Training of Generative Adversarial Networks through Regularization, arXiv
    1705.09367, the Jensen-Shannon regularizer.
    """
    return _Roth()


def _require_at_least_0(name: str, value: float) -> None:
    if not 0 <= value < inf:
        raise ConfigError(f"{name} is {value}; it must be at least 0 and finite")


# A measurement.


def input_gradient_norm(scene: Scene) -> Tensor:
    r"""How steep D is between reals and fakes: a measurement, with no gradient of its own.

    .. math::
        \frac1n \sum_i \|\nabla D(\hat x_i)\|, \qquad \hat x_i = u_i x_i + (1 - u_i) G(z_i), \quad u_i \sim U(0, 1)

    Returns:
        ``()``.
    """
    with torch.enable_grad():
        _, gradients = input_gradients(scene.critic, _between(scene.real, scene.fake), create_graph=False)
    norm: Tensor = torch.linalg.vector_norm(gradients, dim=1).mean()
    return norm
