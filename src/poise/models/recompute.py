"""Activation checkpointing: less memory for a second forward pass."""

from contextlib import AbstractContextManager
from functools import partial
from math import isqrt

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from poise.errors import ConfigError
from poise.models.conditional import LABELS, Conditional, require_labels
from poise.models.layers import run

__all__ = ["recompute_"]

_Buffers = dict[str, Tensor | None]

_Keyed = tuple[str, nn.Module]


def recompute_(network: nn.Module) -> None:
    r"""Let a sequence of layers keep only the inputs of some segments for its gradients; in place.

    Of n layers there are about :math:`\sqrt n` segments. What their layers put out is computed again when gradients
    are taken, one segment after the other, from the same random numbers and buffers, so that running statistics
    and spectral norms move once.

    Args:
        network: a ``nn.Sequential``, or one that takes labels.

    Raises:
        ConfigError: when it is none.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174, section 4.
    """
    recomputed = _RECOMPUTED.get(type(network))
    if recomputed is None:
        raise ConfigError(
            f"activation_checkpointing is for networks that are a sequence of layers, such as dcgan and resnet; this "
            f"one is a {type(network).__name__}: leave it out"
        )
    network.__class__ = recomputed


class _Recomputed(nn.Sequential):
    """A sequence that is computed again, segment by segment, when gradients are taken."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``nn.Sequential``."""
        return _in_segments(self, x, {})


class _RecomputedConditional(Conditional):
    """Likewise, of what takes labels."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :class:`Conditional`."""
        return _in_segments(self, x, {LABELS: require_labels(labels, self.classes, x)})


_RECOMPUTED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Sequential: _Recomputed,
    Conditional: _RecomputedConditional,
}


def _in_segments(network: nn.Sequential, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
    layers = list(network.named_children())
    if not torch.is_grad_enabled():
        return run(layers, x, kept)
    count = isqrt(len(layers))
    for index in range(count):
        segment = layers[index * len(layers) // count : (index + 1) * len(layers) // count]
        x = checkpoint(partial(run, segment), x, kept, use_reentrant=False, context_fn=partial(_contexts, segment))
    return x


def _contexts(layers: list[_Keyed]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Where a segment is first computed, and where it is computed again."""
    modules = [module for _, layer in layers for module in layer.modules()]
    remembered = _Remembered(modules)
    return remembered, _AsRemembered(remembered)


class _Remembered(AbstractContextManager[None]):
    """Remembers the buffers, such as running statistics, with which layers begin a pass."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules
        self._buffers: list[_Buffers] = []

    def __enter__(self) -> None:
        self._buffers = self.copies()

    def __exit__(self, *error: object) -> None:
        """Layers keep what the pass made of them."""

    def copies(self) -> list[_Buffers]:
        """Copies of the buffers: as they were remembered, else as they are."""
        buffers = self._buffers or [module._buffers for module in self.modules]
        return [{name: it if it is None else it.clone() for name, it in its.items()} for its in buffers]


class _AsRemembered(AbstractContextManager[None]):
    """Where layers have the buffers again with which they began; second derivatives enter it more than once."""

    def __init__(self, remembered: _Remembered) -> None:
        self._remembered = remembered
        self._kept: list[_Buffers] = []

    def __enter__(self) -> None:
        modules = self._remembered.modules
        self._kept = [dict(module._buffers) for module in modules]
        for module, buffers in zip(modules, self._remembered.copies(), strict=True):
            module._buffers.update(buffers)

    def __exit__(self, *error: object) -> None:
        for module, buffers in zip(self._remembered.modules, self._kept, strict=True):
            module._buffers.update(buffers)
