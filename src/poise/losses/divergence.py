r"""Losses of f-GAN: D's best loss is minus an f-divergence of the data P from the samples Q.

For a convex f with :math:`f(1) = 0`, the divergence :math:`D_f(P \| Q) = \int q\, f(p / q)` is the least upper bound
over functions T of :math:`E_P[T] - E_Q[f^*(T)]`, where :math:`f^*(t) = \sup_u \{u t - f(u)\}` is the conjugate. An
output activation :math:`g_f` maps any logit to where :math:`f^*` is finite, so with :math:`T = g_f(D)`

.. math:: L_D = -g_f(a) + f^*(g_f(b))

and the bound is reached at :math:`g_f(D(x)) = f'(p(x) / q(x))`. G minimizes either of

.. math:: L_G = -g_f(b), \qquad L_G = -f^*(g_f(b))

The first is what the paper advises in practice, the second its minimax objective (``saturating``). All :math:`g_f`
increase, so a higher logit means more real.

:math:`f^*(g_f(v))` is written out, because step by step it would lose all digits or overflow (``js``: the logarithm of
:math:`2 - e^t` for t near log 2). Where a true exponential remains (``kl``, ``reverse_kl``, ``squared_hellinger``,
``neyman``), float32 overflows at logits beyond about 88.

Source: Nowozin et al. 2016, f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, arXiv
1606.00709; :math:`g_f` and :math:`f^*` in table 2, G's objective in section 3.2.
"""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.nn.functional import softplus

from poise.losses.loss import AdversarialLoss, per_sample

__all__ = ["js", "kl", "neyman", "pearson", "reverse_kl", "squared_hellinger", "total_variation"]

Function = Callable[[Tensor], Tensor]


def _f_gan(activation: Function, conjugate: Function, saturating: bool) -> AdversarialLoss:
    """The loss of a divergence.

    Args:
        activation: g_f.
        conjugate: f* after g_f, both as functions of logits.
        saturating: which of G's objectives.
    """
    of_fake = conjugate if saturating else activation
    return AdversarialLoss(
        per_sample(lambda a, b: conjugate(b) - activation(a)),
        per_sample(lambda a, b: -of_fake(b)),
    )


def kl(saturating: bool = False) -> AdversarialLoss:
    r"""The Kullback-Leibler divergence of P from Q, :math:`\int p \log(p / q)`.

    .. math:: f(u) = u \log u, \quad g_f(v) = v, \quad f^*(t) = e^{t - 1}, \quad L_D = -a + e^{b - 1}

    Args:
        saturating: G minimizes :math:`-e^{b - 1}` in place of :math:`-b`.

    Source: Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    return _f_gan(lambda v: v, lambda v: torch.exp(v - 1), saturating)


def reverse_kl(saturating: bool = False) -> AdversarialLoss:
    r"""The Kullback-Leibler divergence of Q from P, :math:`\int q \log(q / p)`.

    .. math:: f(u) = -\log u, \quad g_f(v) = -e^{-v}, \quad f^*(t) = -1 - \log(-t), \quad L_D = e^{-a} + b - 1

    Args:
        saturating: G minimizes :math:`1 - b` in place of :math:`e^{-b}`.

    Source: Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    return _f_gan(lambda v: -torch.exp(-v), lambda v: v - 1, saturating)


def js(saturating: bool = False) -> AdversarialLoss:
    r"""The Jensen-Shannon divergence, twice: :math:`\int p \log \frac{2 p}{p + q} + q \log \frac{2 q}{p + q}`.

    .. math::
        f(u) = u \log u - (u + 1) \log \tfrac{u + 1}{2}, \quad g_f(v) = \log 2 - \zeta(-v), \quad
        f^*(t) = -\log(2 - e^t), \quad L_D = \zeta(-a) + \zeta(b) - 2 \log 2

    with :math:`\zeta(t) = \log(1 + e^t)`. Up to constants this is :func:`vanilla`; where saturating, :func:`minimax`.

    Args:
        saturating: G minimizes :math:`\log 2 - \zeta(b)` in place of :math:`\zeta(-b) - \log 2`.

    Source: Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    return _f_gan(lambda v: log(2) - softplus(-v), lambda v: softplus(v) - log(2), saturating)


def pearson(saturating: bool = False) -> AdversarialLoss:
    r"""The Pearson :math:`\chi^2` divergence, :math:`\int (p - q)^2 / q`.

    .. math:: f(u) = (u - 1)^2, \quad g_f(v) = v, \quad f^*(t) = \tfrac14 t^2 + t, \quad L_D = -a + \tfrac14 b^2 + b

    The conjugate is the paper's, a supremum over all u; over :math:`u \ge 0` it would be -1 for :math:`t < -2`. There,
    where no best D has its logits, it falls with t: D raises such fakes, and a saturating G lowers them.

    Args:
        saturating: G minimizes :math:`-\tfrac14 b^2 - b` in place of :math:`-b`.

    Source: Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    return _f_gan(lambda v: v, lambda v: 0.25 * v.square() + v, saturating)


def squared_hellinger(saturating: bool = False) -> AdversarialLoss:
    r"""The squared Hellinger distance, :math:`\int (\sqrt p - \sqrt q)^2`.

    .. math::
        f(u) = (\sqrt u - 1)^2, \quad g_f(v) = 1 - e^{-v}, \quad f^*(t) = \tfrac{t}{1 - t}, \quad
        L_D = e^{-a} + e^b - 2

    Args:
        saturating: G minimizes :math:`1 - e^b` in place of :math:`e^{-b} - 1`.

    Source: Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    return _f_gan(lambda v: -torch.expm1(-v), torch.expm1, saturating)


def neyman(saturating: bool = False) -> AdversarialLoss:
    r"""The Neyman :math:`\chi^2` divergence, :math:`\int (p - q)^2 / p`.

    .. math::
        f(u) = \tfrac{(u - 1)^2}{u}, \quad g_f(v) = 1 - e^{-v}, \quad f^*(t) = 2 - 2 \sqrt{1 - t}, \quad
        L_D = e^{-a} + 1 - 2 e^{-b / 2}

    Args:
        saturating: G minimizes :math:`2 e^{-b / 2} - 2` in place of :math:`e^{-b} - 1`.

    Source: Nowozin et al. 2016, arXiv 1606.00709.
    """
    return _f_gan(lambda v: -torch.expm1(-v), lambda v: -2 * torch.expm1(-0.5 * v), saturating)


def total_variation() -> AdversarialLoss:
    r"""The total variation distance, :math:`\tfrac12 \int |p - q|`.

    .. math::
        f(u) = \tfrac12 |u - 1|, \quad g_f(v) = \tfrac12 \tanh v, \quad f^*(t) = t, \quad
        L_D = \tfrac12 (\tanh b - \tanh a), \quad L_G = -\tfrac12 \tanh b

    As :math:`f^*(t) = t`, G's two objectives are one. The bound is reached as logits go to plus and minus infinity.

    Source: Nowozin et al. 2016, arXiv 1606.00709.
    """
    return _f_gan(_half_tanh, _half_tanh, saturating=False)


def _half_tanh(v: Tensor) -> Tensor:
    return 0.5 * torch.tanh(v)
