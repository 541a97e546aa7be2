"""Losses of differences: a real's logit counts against a fake's, or against that of the mean fake."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

from poise.errors import nearest
from poise.losses.loss import AdversarialLoss, per_sample

__all__ = ["Form", "relativistic", "relativistic_average"]

Form = Literal["logistic", "least_squares", "hinge"]

# Small where the difference t is large, as the player wants it.
_FORMS: Mapping[Form, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "logistic": lambda t: softplus(-t),
        "least_squares": lambda t: (1 - t).square(),
        "hinge": lambda t: relu(1 - t),
    }
)


def _form(name: Form) -> Callable[[Tensor], Tensor]:
    if name not in _FORMS:
        raise ValueError(f"form is {name!r}; there is no such form {nearest(name, _FORMS)}")
    return _FORMS[name]


def relativistic(form: Form = "logistic") -> AdversarialLoss:
    r"""The relativistic pairing loss (RpGAN): each fake is judged against one real.

    .. math:: L_D = f(a - b), \qquad L_G = f(b - a)

    with :math:`f(t) = \zeta(-t) = \log(1 + e^{-t})` (logistic), :math:`(1 - t)^2` (least squares) or
    :math:`\max(0, 1 - t)` (hinge).

    Args:
        form: the function f: ``logistic``, ``least_squares`` or ``hinge``.

    Raises:
        ValueError: when there is no such form.

    Source: Jolicoeur-Martineau 2018, The relativistic discriminator, arXiv 1807.00734, where the logistic form is named
    RSGAN; 2020, On Relativistic f-Divergences, arXiv 1901.02474, where the forms are RpSGAN, RpLSGAN and RpHingeGAN;
    Huang et al. 2024, arXiv 2501.05441, equation 2.
    """
    f = _form(form)
    return AdversarialLoss(
        per_sample(lambda a, b: f(a - b)),
        per_sample(lambda a, b: f(b - a)),
        g_uses_real=True,
    )


def relativistic_average(form: Form = "logistic") -> AdversarialLoss:
    r"""The relativistic average loss (RaGAN): each sample is judged against the other side's mean.

    .. math:: L_D = f(a - \bar b) + f(\bar a - b), \qquad L_G = f(b - \bar a) + f(\bar b - a)

    with f as in :func:`relativistic`. Bars are means over the batch (and over patches); gradients pass through them.

    Args:
        form: the function f: ``logistic`` (RaSGAN), ``least_squares`` (RaLSGAN) or ``hinge`` (RaHingeGAN).

    Raises:
        ValueError: when there is no such form.

    Source: Jolicoeur-Martineau 2018, arXiv 1807.00734, the losses of these names.
    """
    f = _form(form)
    return AdversarialLoss(
        per_sample(lambda a, b: f(a - b.mean()) + f(a.mean() - b)),
        per_sample(lambda a, b: f(b - a.mean()) + f(b.mean() - a)),
        g_uses_real=True,
    )
