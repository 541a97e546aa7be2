"""Losses that weigh the samples of a batch against each other."""

import torch
from torch import Tensor

from poise.losses.loss import AdversarialLoss, per_sample

__all__ = ["softmax", "wasserstein_kl"]


def wasserstein_kl() -> AdversarialLoss:
    r"""The KL-Wasserstein loss: fakes count by the density ratio that their logits stand for.

    .. math:: L_D = w b - a, \qquad L_G = -w b, \qquad w = \frac{e^b}{\overline{e^b}}

    where the bar is a mean over the batch (and over patches), so that the weights average 1. As in the authors' code,
    both players' gradients pass through the weights: with :math:`p = w / n`,

    .. math:: \frac{\partial}{\partial b_i} \sum_j p_j b_j = p_i \Bigl(1 + b_i - \sum_j p_j b_j\Bigr)

    which is negative for a fake whose logit is more than 1 below the weighted mean. It needs a Lipschitz constraint or
    penalty on D, as :func:`wasserstein` does. The authors' code has D's hinge of :math:`a` and of :math:`w b` instead.

    Source: Song and Ermon 2020, Bridging the Gap Between f-GANs and Wasserstein GANs, arXiv 1910.09779; code:
    github.com/ermongroup/f-wgan.
    """
    return AdversarialLoss(
        per_sample(lambda a, b: _weights(b) * b - a),
        per_sample(lambda a, b: -_weights(b) * b),
    )


def _weights(logits: Tensor) -> Tensor:
    """exp(logits) divided by its mean, without ever taking an exponential of a large number."""
    return torch.softmax(logits.flatten(), 0).view_as(logits) * logits.numel()


def softmax() -> AdversarialLoss:
    r"""Softmax GAN: cross-entropy over the samples of a batch, in place of over two classes.

    The batch is a distribution over its 2 n samples, each with probability :math:`e^{D} / Z`. D wants it uniform over
    the reals and 0 on the fakes; G wants it uniform over all.

    .. math::
        L_D = -a + \log Z, \qquad L_G = -\tfrac12 (\bar a + b) + \log Z, \qquad Z = \sum_j e^{a_j} + \sum_j e^{b_j}

    so that the mean over the samples is the cross-entropy. Logits are the paper's energies with the sign turned,
    :math:`D = -\mu`, so that D raises real logits. The terms that the samples share (:math:`\log Z`, and the mean
    :math:`\bar a` for G) stand in the value of each; with patches, every patch is a sample of the batch.

    Source: Lin 2017, Softmax GAN, arXiv 1704.06191.
    """
    return AdversarialLoss(
        per_sample(lambda a, b: _log_partition(a, b) - a),
        per_sample(lambda a, b: _log_partition(a, b) - 0.5 * (a.mean() + b)),
        g_uses_real=True,
    )


def _log_partition(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a.flatten(), b.flatten()]).logsumexp(0)
