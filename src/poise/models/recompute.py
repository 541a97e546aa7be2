"""Activation checkpointing: less memory for a second forward pass."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

from poise.errors import ConfigError

__all__ = ["recompute_"]


def recompute_(network: nn.Module) -> None:
    r"""Let a sequence of layers keep only the inputs of some segments for its gradients; in place.

    Of n layers there are about :math:`\sqrt n` segments. What their layers put out is computed again when gradients
    are taken, one segment after the other, from the same random numbers; running statistics move once.

    Args:
        network: a ``nn.Sequential``.

    Raises:
        ConfigError: when it is none, or has a spectral norm, which a second pass would move on.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174, section 4.
    """
    if type(network) is not nn.Sequential:
        raise ConfigError(
            f"activation_checkpointing is for networks that are a sequence of layers, such as dcgan and resnet; this "
            f"one is a {type(network).__name__}: leave it out"
        )
    if any(is_parametrized(module) for module in network.modules()):
        raise ConfigError(
            "activation_checkpointing cannot be used with a spectral norm, which goes on with every pass: leave one out"
        )
    network.__class__ = _Recomputed


class _Recomputed(nn.Sequential):
    """A sequence that is computed again, segment by segment, when gradients are taken."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``nn.Sequential``."""
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[no-any-return,no-untyped-call]
        layers = list(self)
        count = isqrt(len(layers))
        for index in range(count):
            segment = layers[index * len(layers) // count : (index + 1) * len(layers) // count]
            x = checkpoint(partial(_run, segment), x, use_reentrant=False, context_fn=partial(_contexts, segment))
        return x


def _run(layers: list[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _contexts(layers: list[nn.Module]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Where a segment is first computed, and where it is computed again."""
    return nullcontext(), _StillStatistics(layers)


class _StillStatistics(AbstractContextManager[None]):
    """Where layers move copies of their running statistics; it can be entered again, as gradients of gradients do."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._modules = [module for layer in layers for module in layer.modules()]
        self._kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self._kept = [dict(module._buffers) for module in self._modules]
        for module, buffers in zip(self._modules, self._kept, strict=True):
            module._buffers.update({name: it if it is None else it.clone() for name, it in buffers.items()})

    def __exit__(self, *error: object) -> None:
        for module, buffers in zip(self._modules, self._kept, strict=True):
            module._buffers.update(buffers)
