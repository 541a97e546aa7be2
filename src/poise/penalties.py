r"""Penalties on the discriminator's input gradient: where it is taken, times what is done with it.

A :class:`GradientPenalty` is a pair of pure functions. ``at(real, fake)`` gives the points :math:`\hat x`; with
:math:`g_i = \nabla_{\hat x_i} D(\hat x_i)`, flattened to ``(n, d)``, ``of(g)`` gives the penalty of each sample,
``(n,)``.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from poise.errors import ShapeError

__all__ = ["PENALTIES", "GradientPenalty", "Weighted", "gradient_penalty", "log_name"]


class GradientPenalty(NamedTuple):
    """Where D's input gradient is taken, and what is done with it.

    Attributes:
        at: ``(real, fake) -> points``, all of shape ``(n, ...)``. May draw from torch's default generator.
        of: ``gradients (n, d) -> (n,)``.
    """

    at: Callable[[Tensor, Tensor], Tensor]
    of: Callable[[Tensor], Tensor]


class Weighted(NamedTuple):
    """A penalty as it enters the discriminator's loss.

    Attributes:
        penalty: the penalty.
        weight: its factor; the papers' gamma for ``r1`` and ``r2``, lambda for ``wgan_gp``.
        every: take it on every so many-th update of D only, multiplied by as many («lazy regularization»: Karras et al.
            2020, arXiv 1912.04958, section 3.1).
    """

    penalty: GradientPenalty
    weight: float
    every: int = 1


def gradient_penalty(
    penalty: GradientPenalty, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
) -> Tensor:
    """The penalty of each sample, differentiable with respect to the critic's weights.

    Args:
        penalty: where and what.
        critic: gives logits ``(n, ...)`` of samples ``(n, ...)``; several logits a sample (patches) are averaged, so
            that the gradient is that of the sample's mean logit. It must not mix samples of a batch.
        real: real samples, ``(n, ...)``.
        fake: generated samples, of the same shape.

    Returns:
        ``(n,)``.

    Raises:
        ShapeError: when ``real`` and ``fake`` differ in shape.
    """
    if real.shape != fake.shape:
        raise ShapeError(
            f"real samples have shape {tuple(real.shape)} and fake ones {tuple(fake.shape)}; a gradient penalty needs "
            "equal shapes: check the generator's output against the data"
        )
    points = penalty.at(real, fake).detach().requires_grad_()
    logits = critic(points)
    (gradients,) = torch.autograd.grad(logits.reshape(len(points), -1).mean(1).sum(), points, create_graph=True)
    return penalty.of(gradients.flatten(1))


def log_name(name: str) -> str:
    """The name under which a penalty's term is logged: ``r1_loss``; ``gp_loss`` for ``wgan_gp``."""
    return f"{_SHORT.get(name, name)}_loss"


_SHORT = {"wgan_gp": "gp"}


# Where.


def _real(real: Tensor, fake: Tensor) -> Tensor:
    return real


def _fake(real: Tensor, fake: Tensor) -> Tensor:
    return fake


def _between(real: Tensor, fake: Tensor) -> Tensor:
    r"""Points uniformly drawn on the lines between pairs: :math:`u x + (1 - u) G(z)`, one u a sample."""
    u = torch.rand((len(real),) + (1,) * (real.ndim - 1), device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, u)


def _around_real(real: Tensor, fake: Tensor) -> Tensor:
    r"""Perturbed reals: :math:`x + \tfrac12 \operatorname{std}(x)\, u`, u uniform in [0, 1), std over the batch."""
    return real + 0.5 * real.std() * torch.rand_like(real)


# What.


def _half_squared_norm(gradients: Tensor) -> Tensor:
    return 0.5 * gradients.square().sum(1)


def _unit_norm(gradients: Tensor) -> Tensor:
    # vector_norm has the subgradient 0 at 0, where sqrt(sum(g^2)) would give NaN.
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=1)
    return (norms - 1).square()


PENALTIES: Mapping[str, GradientPenalty] = MappingProxyType(
    {
        # (||g|| - 1)^2 between reals and fakes. Gulrajani et al. 2017, arXiv 1704.00028, equation 3; lambda 10.
        "wgan_gp": GradientPenalty(at=_between, of=_unit_norm),
        # ||g||^2 / 2 on reals. Mescheder et al. 2018, arXiv 1801.04406, equation 9.
        "r1": GradientPenalty(at=_real, of=_half_squared_norm),
        # ||g||^2 / 2 on fakes. Mescheder et al. 2018, arXiv 1801.04406, equation 10.
        "r2": GradientPenalty(at=_fake, of=_half_squared_norm),
        # (||g|| - 1)^2 around reals. Kodali et al. 2017, DRAGAN, arXiv 1705.07215; the noise is that of their code.
        "dragan": GradientPenalty(at=_around_real, of=_unit_norm),
    }
)
"""Every gradient penalty by its name."""
