r"""Adversarial losses: for each player a pure function of logits.

Write :math:`a = D(x)` for the logits of real samples and :math:`b = D(G(z))` for those of fakes. A loss is a pair of
functions ``(real_logits, fake_logits) -> (n,)``: one value a sample, unreduced; the caller takes the mean. Both players
minimize. Logits are never probabilities.

Logits come one a sample, ``(n,)`` or ``(n, 1)``, or many (patches, ``(n, 1, h, w)``). Many are treated as the sources
do: the loss is taken of every logit and averaged within its sample. Both arguments must have one shape, because ``(n,
1)`` against ``(n,)`` would silently broadcast to ``(n, n)``.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus

from poise.errors import ShapeError

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "hinge",
    "lsgan",
    "minimax",
    "relativistic",
    "relativistic_average",
    "vanilla",
    "wasserstein",
]

LogitLoss = Callable[[Tensor, Tensor], Tensor]


class AdversarialLoss(NamedTuple):
    """What each player minimizes.

    Attributes:
        d: the discriminator's loss, ``(real_logits, fake_logits) -> (n,)``.
        g: the generator's loss, ``(real_logits, fake_logits) -> (n,)``.
        g_uses_real: whether ``g`` depends on the real logits. Where it does not, a trainer may spare the forward pass
            that would make them.
    """

    d: LogitLoss
    g: LogitLoss
    g_uses_real: bool = False


def _per_sample(of: LogitLoss) -> LogitLoss:
    """Check the shapes that ``of`` is given and average what it returns to one value a sample."""

    def loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if real_logits.shape != fake_logits.shape:
            raise ShapeError(
                f"real logits have shape {tuple(real_logits.shape)} and fake logits {tuple(fake_logits.shape)}; a loss "
                "needs equal shapes: give both the same batch size, and flatten both or neither"
            )
        if real_logits.ndim == 0:
            raise ShapeError("logits have no batch dimension; a loss needs shape (n,) or (n, ...)")
        values = of(real_logits, fake_logits)
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    return loss


def vanilla(label_smoothing: float = 0.0) -> AdversarialLoss:
    r"""The non-saturating loss: binary cross-entropy, and G maximizes the log-likelihood of being taken for real.

    .. math:: L_D = \zeta(-a) + s\,a + \zeta(b), \qquad L_G = \zeta(-b), \qquad \zeta(t) = \log(1 + e^t)

    which for D is the cross-entropy with target :math:`1 - s` for reals and 0 for fakes.

    Args:
        label_smoothing: the one-sided smoothing s in [0, 1).

    Raises:
        ValueError: when s is outside [0, 1).

    Source: Goodfellow et al. 2014, Generative Adversarial Networks, arXiv 1406.2661, section 3; smoothing: Salimans et
    al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498, section 3.4.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; it must be at least 0 and below 1")

    def d(a: Tensor, b: Tensor) -> Tensor:
        real = softplus(-a) + label_smoothing * a if label_smoothing else softplus(-a)
        return real + softplus(b)

    return AdversarialLoss(_per_sample(d), _per_sample(lambda a, b: softplus(-b)))


def minimax() -> AdversarialLoss:
    r"""The original two-player value function, saturating for G where D is sure.

    .. math:: L_D = \zeta(-a) + \zeta(b), \qquad L_G = -\zeta(b) = \log(1 - \sigma(b))

    Source: Goodfellow et al. 2014, arXiv 1406.2661, equation 1.
    """
    return AdversarialLoss(
        _per_sample(lambda a, b: softplus(-a) + softplus(b)),
        _per_sample(lambda a, b: -softplus(b)),
    )


def wasserstein() -> AdversarialLoss:
    r"""The dual of the Wasserstein-1 distance; needs a Lipschitz constraint or penalty on D.

    .. math:: L_D = b - a, \qquad L_G = -b

    Source: Arjovsky et al. 2017, Wasserstein GAN, arXiv 1701.07875, equations 2 and 3.
    """
    return AdversarialLoss(_per_sample(lambda a, b: b - a), _per_sample(lambda a, b: -b))


def hinge() -> AdversarialLoss:
    r"""The hinge loss.

    .. math:: L_D = \max(0, 1 - a) + \max(0, 1 + b), \qquad L_G = -b

    Source: Lim and Ye 2017, Geometric GAN, arXiv 1705.02894; Miyato et al. 2018, Spectral Normalization, arXiv
    1802.05957, equations 16 and 17.
    """
    return AdversarialLoss(_per_sample(lambda a, b: relu(1 - a) + relu(1 + b)), _per_sample(lambda a, b: -b))


def lsgan(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> AdversarialLoss:
    r"""Least squares.

    .. math:: L_D = \tfrac12 (D(x) - b)^2 + \tfrac12 (D(G(z)) - a)^2, \qquad L_G = \tfrac12 (D(G(z)) - c)^2

    Args:
        a: D's target for fakes.
        b: D's target for reals.
        c: G's target for fakes.

    Source: Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv 1611.04076, equation 2; the defaults
    are equation 9.
    """
    return AdversarialLoss(
        _per_sample(lambda real, fake: 0.5 * (real - b).square() + 0.5 * (fake - a).square()),
        _per_sample(lambda real, fake: 0.5 * (fake - c).square()),
    )


def relativistic() -> AdversarialLoss:
    r"""The relativistic pairing loss (RpGAN) with the logistic function: each fake is judged against one real.

    .. math:: L_D = \zeta(-(a - b)), \qquad L_G = \zeta(-(b - a))

    Source: Jolicoeur-Martineau 2018, The relativistic discriminator, arXiv 1807.00734, the losses named RSGAN; Huang
    et al. 2024, arXiv 2501.05441, equation 2.
    """
    return AdversarialLoss(
        _per_sample(lambda a, b: softplus(b - a)),
        _per_sample(lambda a, b: softplus(a - b)),
        g_uses_real=True,
    )


def relativistic_average() -> AdversarialLoss:
    r"""The relativistic average loss (RaGAN) with the logistic function: each sample against the other side's mean.

    .. math::
        L_D = \zeta(-(a - \bar b)) + \zeta(b - \bar a), \qquad L_G = \zeta(-(b - \bar a)) + \zeta(a - \bar b)

    Bars are means over the batch (and over patches).

    Source: Jolicoeur-Martineau 2018, arXiv 1807.00734, the losses named RaSGAN.
    """
    return AdversarialLoss(
        _per_sample(lambda a, b: softplus(b.mean() - a) + softplus(b - a.mean())),
        _per_sample(lambda a, b: softplus(a.mean() - b) + softplus(a - b.mean())),
        g_uses_real=True,
    )


LOSSES: Mapping[str, AdversarialLoss] = MappingProxyType(
    {
        "vanilla": vanilla(),
        "minimax": minimax(),
        "wasserstein": wasserstein(),
        "hinge": hinge(),
        "lsgan": lsgan(),
        "relativistic": relativistic(),
        "relativistic_average": relativistic_average(),
    }
)
"""Every loss by its name, with its default options. The function of the same name builds it with others."""
