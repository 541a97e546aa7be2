r"""Which classes samples are of: their histogram against the data's, and any metric class by class."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from poise.errors import MetricError, ShapeError

__all__ = ["Classes", "classes", "divergence", "per_class"]

Number = TypeVar("Number")


class Classes(NamedTuple):
    """What :func:`classes` counts.

    Attributes:
        captured: classes with at least one sample.
        kl: KL(fake || real), in nats. Where k classes are equally likely, n perfect samples have (k - 1) / (2 n) on
            average.
        shares: of the fake samples in each class, ``(k,)``, float64.
    """

    captured: int
    kl: float
    shares: Tensor


def classes(fake: Tensor, real: Tensor, count: int) -> Classes:
    r"""The histogram of samples over classes, as a classifier sees them, against that of the data.

    .. math:: \mathrm{KL}(q \Vert p) = \sum_i q_i \log \frac{q_i}{p_i}

    with q the shares of the fakes and p those of the data: KL(fake || real), which the papers on Stacked MNIST report
    and call the reverse (or inverse) KL divergence. It stays finite where a class is missed.

    Args:
        fake: the class of each sample, integers ``(n,)`` in [0, count).
        real: the label of each real sample, ``(m,)``.
        count: k, of classes.

    Raises:
        ShapeError: when labels are not integers ``(n,)``.
        MetricError: when a side is empty, or a label is none.

    Source: Srivastava et al. 2017, VEEGAN, arXiv 1705.07761, section 4.2; Lin et al. 2017, PacGAN, arXiv 1712.04086,
    section 4.2; the task is from Metz et al. 2016, Unrolled GANs, arXiv 1611.02163.
    """
    counts = [_counts(labels, count, what) for labels, what in ((fake, "fake"), (real, "real"))]
    return Classes(int((counts[0] > 0).sum()), divergence(*counts), counts[0].double() / counts[0].sum())


def _counts(labels: Tensor, count: int, what: str) -> Tensor:
    if labels.ndim != 1 or labels.is_floating_point():
        raise ShapeError(f"{what} labels are {labels.dtype} of shape {tuple(labels.shape)}; they are integers (n,)")
    if not len(labels):
        raise MetricError(f"there are no {what} labels: classes are counted where there are samples")
    if labels.min() < 0 or labels.max() >= count:
        raise MetricError(
            f"{what} labels reach from {labels.min()} to {labels.max()}; of {count} classes they are 0 to {count - 1}"
        )
    return torch.bincount(labels.cpu(), minlength=count)


def divergence(counts: Tensor, weights: Tensor) -> float:
    r"""KL(q || p) in nats, q the shares of ``counts`` and p those of ``weights``.

    Classes of the counts that have no weight make it infinite.

    Args:
        counts: ``(k,)``, with at least one above 0.
        weights: ``(k,)``, not negative, with at least one above 0.

    Raises:
        MetricError: when the weights are none.
    """
    if weights.shape != counts.shape or not weights.sum() > 0 or (weights < 0).any():
        raise MetricError(f"there are {len(weights)} weights for {len(counts)} classes; each has one of 0 or more")
    q, p = counts.double() / counts.sum(), weights.double() / weights.sum()
    return float(torch.where(q > 0, q * (q / p).log(), 0.0).sum())


def per_class(
    measure: Callable[[Tensor, Tensor], Number], real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
) -> dict[int, Number]:
    """A metric class by class: of the real and the fake samples of each label that the real ones have.

    Args:
        measure: of real features ``(n, d)`` and fake ones ``(m, d)``, such as :func:`~poise.metrics.fid`.
        real: features ``(n, d)``.
        real_labels: ``(n,)``.
        fake: features ``(m, d)``.
        fake_labels: the labels that the samples were asked for with, ``(m,)``.

    Raises:
        ShapeError: when there are not as many labels as samples.
        MetricError: when a class has no fake sample, or too few for the metric; it names the class.
    """
    for what, samples, labels in (("real", real, real_labels), ("fake", fake, fake_labels)):
        if labels.shape != samples.shape[:1]:
            raise ShapeError(f"there are {len(samples)} {what} samples and labels of shape {tuple(labels.shape)}")
    numbers: dict[int, Number] = {}
    for label in sorted(set(real_labels.tolist())):
        try:
            numbers[label] = measure(real[real_labels == label], fake[fake_labels == label])
        except MetricError as error:
            raise MetricError(f"class {label}: {error}") from error
    return numbers
