"""Losses in which every logit stands for itself."""

from math import isfinite

from torch import Tensor
from torch.nn.functional import relu, softplus

from poise.losses.loss import AdversarialLoss, per_sample

__all__ = ["hinge", "lsgan", "minimax", "vanilla", "wasserstein"]


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

    return AdversarialLoss(per_sample(d), per_sample(lambda a, b: softplus(-b)))


def minimax() -> AdversarialLoss:
    r"""The original two-player value function, saturating for G where D is sure.

    .. math:: L_D = \zeta(-a) + \zeta(b), \qquad L_G = -\zeta(b) = \log(1 - \sigma(b))

    Source: Goodfellow et al. 2014, arXiv 1406.2661, equation 1.
    """
    return AdversarialLoss(
        per_sample(lambda a, b: softplus(-a) + softplus(b)),
        per_sample(lambda a, b: -softplus(b)),
    )


def wasserstein() -> AdversarialLoss:
    r"""The dual of the Wasserstein-1 distance; needs a Lipschitz constraint or penalty on D.

    .. math:: L_D = b - a, \qquad L_G = -b

    Source: Arjovsky et al. 2017, Wasserstein GAN, arXiv 1701.07875, equations 2 and 3.
    """
    return AdversarialLoss(per_sample(lambda a, b: b - a), per_sample(lambda a, b: -b))


def hinge() -> AdversarialLoss:
    r"""The hinge loss.

    .. math:: L_D = \max(0, 1 - a) + \max(0, 1 + b), \qquad L_G = -b

    Source: Lim and Ye 2017, Geometric GAN, arXiv 1705.02894; Miyato et al. 2018, Spectral Normalization, arXiv
    1802.05957, equations 16 and 17.
    """
    return AdversarialLoss(per_sample(lambda a, b: relu(1 - a) + relu(1 + b)), per_sample(lambda a, b: -b))


def lsgan(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> AdversarialLoss:
    r"""Least squares.

    .. math:: L_D = \tfrac12 (D(x) - b)^2 + \tfrac12 (D(G(z)) - a)^2, \qquad L_G = \tfrac12 (D(G(z)) - c)^2

    Args:
        a: D's target for fakes.
        b: D's target for reals.
        c: G's target for fakes.

    Raises:
        ValueError: when a target is not finite.

    Source: Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv 1611.04076, equation 2; the defaults
    are equation 9.
    """
    for name, target in (("a", a), ("b", b), ("c", c)):
        if not isfinite(target):
            raise ValueError(f"{name} is {target}; a target must be finite")
    return AdversarialLoss(
        per_sample(lambda real, fake: 0.5 * (real - b).square() + 0.5 * (fake - a).square()),
        per_sample(lambda real, fake: 0.5 * (fake - c).square()),
    )
