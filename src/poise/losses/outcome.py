"""The loss of a discriminator whose verdict is a distribution over outcomes."""

from collections.abc import Callable, Sequence
from math import erfc, exp, log, sqrt
from typing import Literal, get_args

from torch import Tensor

from poise.errors import ShapeError, nearest
from poise.losses.loss import AdversarialLoss, LogitLoss, require_equal_shapes

__all__ = ["Objective", "realness"]

Objective = Literal["relative", "anchored", "minimax"]
_OBJECTIVES = get_args(Objective)


def realness(outcomes: int = 10, skew: float = 5.0, objective: Objective = "relative") -> AdversarialLoss:
    r"""RealnessGAN: D's logits of a sample, after a softmax, are a distribution over outcomes of realness.

    D brings it to one anchor distribution for reals, :math:`A_1`, and to another for fakes, :math:`A_0`:

    .. math:: L_D = K(A_1 \| D(x)) + K(A_0 \| D(G(z))), \qquad K(p \| q) = \sum_k p_k \log \frac{p_k}{q_k}

    The outcomes u are evenly spaced over [-1, 1], and the anchors are there the densities of two skew normal
    distributions that mirror each other, scaled to sum 1, with the standard normal density :math:`\varphi` and
    distribution function :math:`\Phi`:

    .. math:: A_1(u) \propto \varphi(u)\,\Phi(\alpha u), \qquad A_0(u) = A_1(-u)

    so that the later outcomes mean more real. G minimizes one of

    .. math::
        K(D(x) \| D(G(z))) - K(A_0 \| D(G(z))), \quad
        K(A_1 \| D(G(z))) - K(A_0 \| D(G(z))), \quad
        -K(A_0 \| D(G(z)))

    (``relative``, ``anchored``, ``minimax``); in the first, each fake is compared with one real. With two outcomes and
    a large skew, D's loss is that of :func:`vanilla` for the difference of the two logits.

    Logits have shape ``(n, outcomes)``; there are no patches. As adding one number to all logits of a sample changes
    nothing, the mean logit of a sample says nothing.

    Args:
        outcomes: the number of outcomes, at least 2: the discriminator's outputs.
        skew: the anchors' shape :math:`\alpha`, above 0. The larger, the farther they are from each other.
        objective: what G minimizes.

    Raises:
        ValueError: when an option is out of range.

    Source: Xiangli et al. 2020, Real or Not Real, that is the Question, arXiv 2002.05512, where G's objectives are
    numbers 2, 3 and 1. Code: github.com/kam1107/RealnessGAN, whose default is the first term of ``relative``. Any two
    anchors that differ will do; the code's examples are a normal and a uniform distribution, and skew normal ones of
    shape 5, as histograms of random numbers.
    """
    if outcomes < 2:
        raise ValueError(f"outcomes is {outcomes}; it must be at least 2")
    if not 0 < skew < float("inf"):
        raise ValueError(f"skew is {skew}; it must be above 0 and finite")
    if objective not in _OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; there is no such objective {nearest(objective, _OBJECTIVES)}")
    to_real = _divergence_from(_anchor(outcomes, skew))
    to_fake = _divergence_from(_anchor(outcomes, skew)[::-1])

    def d(a: Tensor, b: Tensor) -> Tensor:
        return to_real(a) + to_fake(b)

    def g(a: Tensor, b: Tensor) -> Tensor:
        away = -to_fake(b)
        if objective == "relative":
            return _divergence(a, b) + away
        return to_real(b) + away if objective == "anchored" else away

    return AdversarialLoss(
        _of_outcomes(d, outcomes), _of_outcomes(g, outcomes), g_uses_real=objective == "relative", outputs=outcomes
    )


def _anchor(outcomes: int, skew: float) -> list[float]:
    """A skew normal density at evenly spaced points, scaled to sum 1."""
    points = [2 * k / (outcomes - 1) - 1 for k in range(outcomes)]
    density = [exp(-0.5 * u * u) * erfc(-skew * u / sqrt(2)) for u in points]
    return [value / sum(density) for value in density]


def _divergence_from(anchor: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """K(anchor || softmax(logits)) of each sample."""
    negative_entropy = sum(p * log(p) for p in anchor if p > 0)

    def divergence(logits: Tensor) -> Tensor:
        return negative_entropy - (logits.new_tensor(anchor) * logits.log_softmax(1)).sum(1)

    return divergence


def _divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """K(softmax(p_logits) || softmax(q_logits)) of each pair."""
    log_p = p_logits.log_softmax(1)
    return (log_p.exp() * (log_p - q_logits.log_softmax(1))).sum(1)


def _of_outcomes(of: LogitLoss, outcomes: int) -> LogitLoss:
    """Check that ``of`` is given one vector of ``outcomes`` logits a sample."""

    def loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        require_equal_shapes(real_logits, fake_logits)
        shape = tuple(real_logits.shape)
        if len(shape) != 2 or shape[1] != outcomes:
            other = f", or the loss outcomes={shape[1]}" if len(shape) == 2 and shape[1] > 1 else ""
            raise ShapeError(
                f"realness over {outcomes} outcomes needs logits of shape (n, {outcomes}) and was given {shape}: give "
                f"the discriminator as many outputs (option outputs={outcomes} of the presets){other}"
            )
        return of(real_logits, fake_logits)

    return loss
