"""Batch norm over the batch of all processes."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from poise.parallel import batch

__all__ = ["SynchronizedBatchNorm", "synchronize_batch_norms_"]


class SynchronizedBatchNorm(_BatchNorm):
    r"""Batch norm whose statistics are those of the batch of all processes.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Unlike ``torch.nn.SyncBatchNorm`` it works on CPUs too, and can be differentiated twice, as gradient penalties do.
    In a single process, and in evaluation mode, it is batch norm as torch has it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, ...)`` to the same shape."""
        if not (self.training and batch.is_spread()):
            return super().forward(x)
        full = x.float()
        across = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = batch.mean(full, across)
        centered = full - mean.view(shape)
        variance = batch.mean(centered.square(), across)
        self._follow(mean.detach(), variance.detach(), batch.processes() * x.numel() // x.shape[1])
        y = centered * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, which have the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"batch norm takes (n, c, ...), and was given {x.ndim} dimensions")


def synchronize_batch_norms_(network: nn.Module) -> list[Tensor]:
    """Let the batch norms of a network be synchronized; in place, with the same weights under the same names.

    Only torch's own classes are: what a subclass does is not known.

    Returns:
        The buffers that are the same in all processes after the same passes: the statistics of these batch norms, and
        what belongs to parametrizations such as spectral norm, which depends on weights alone.
    """
    common: list[Tensor] = []
    for name, module in network.named_modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = SynchronizedBatchNorm  # in place: hooks, and whoever holds the module, stay right
        if isinstance(module, SynchronizedBatchNorm) or ".parametrizations." in f".{name}.":
            common += chain(module.buffers(recurse=False))
    return common
