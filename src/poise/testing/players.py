"""Tiny networks to check other parts with."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

__all__ = ["TinyDiscriminator", "tiny_generator"]

_WIDTH = 3


class _Layer(nn.Linear):
    """A smooth layer that keeps the width; others may stand under it, so that names with dots can be given."""

    def __init__(self) -> None:
        super().__init__(_WIDTH, _WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(super().forward(features))


class TinyDiscriminator(nn.Module):
    """Samples to logits, and features beside them: smooth, so that derivatives can be checked.

    Args:
        shape: of a sample.
        logits: the shape of a sample's logits.
        layers: the names that some of its layers shall have.
        dropout: the share of features that is dropped in training.
    """

    def __init__(
        self, shape: Sequence[int], logits: Sequence[int] = (1,), layers: Sequence[str] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self._in = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), _WIDTH), nn.Tanh(), nn.Dropout(dropout))
        self._out = nn.Sequential(nn.Linear(_WIDTH, prod(logits)), nn.Unflatten(1, tuple(logits)))
        self._layers = tuple(layers)
        for name in layers:
            self._add(name)

    def _add(self, path: str) -> None:
        node: nn.Module = self
        for name in path.split("."):
            if name not in dict(node.named_children()):
                node.add_module(name, _Layer())
            node = node.get_submodule(name)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(n, *logits)`` and features ``(n, 3)``."""
        features = self._in(samples)
        for name in self._layers:
            features = self.get_submodule(name)(features)
        return self._out(features), features

    @torch.no_grad()
    def steepen(self, factor: float) -> None:
        """Multiply the logits, and so their slopes, but for the biases."""
        for weight in self._out.parameters():
            weight.mul_(factor)


def tiny_generator(z_dim: int, shape: Sequence[int], batch_norm: bool = False) -> nn.Sequential:
    """Latents ``(n, z_dim)`` to samples ``(n, *shape)``.

    Args:
        z_dim: the latent dimension.
        shape: of a sample.
        batch_norm: keep running statistics, so that not all of the network's state are weights.
    """
    norm = [nn.BatchNorm1d(_WIDTH)] if batch_norm else []
    return nn.Sequential(
        nn.Linear(z_dim, _WIDTH), *norm, nn.Tanh(), nn.Linear(_WIDTH, prod(shape)), nn.Unflatten(1, tuple(shape))
    )
