r"""Constraints: what is done to a player's weights themselves, rather than to its objective.

A constraint changes a network once, before its optimizer is made, such as by a parametrization; or projects its
weights after updates; or both.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from poise.errors import ConfigError, nearest
from poise.schedules import Number, described, greatest, least, value_at

__all__ = ["CONSTRAINTS", "Constrained", "Constraint", "clip", "spectral_norm"]


class Constraint(ABC):
    """What is done to a network once, and after updates. Subclasses are final; they keep nothing of their own."""

    @abstractmethod
    def prepare(self, module: nn.Module) -> None:
        """Change the network, before its optimizer is made.

        Args:
            module: the network.
        """

    @abstractmethod
    def project(self, module: nn.Module, kimg: float) -> None:
        """Change its weights in place, after an update.

        Args:
            module: the network that was prepared.
            kimg: thousands of real images shown so far.
        """


class Constrained(NamedTuple):
    """A constraint on one of the players.

    Attributes:
        constraint: the constraint.
        to: the player.
        every: project after every so many-th update of the player only.
    """

    constraint: Constraint
    to: Literal["D", "G"] = "D"
    every: int = 1


# Clipping.


@dataclass(frozen=True)
class _Clip(Constraint):
    limit: Number

    def prepare(self, module: nn.Module) -> None:
        """The network stays as it is: the first weights may lie outside."""

    @torch.no_grad()
    def project(self, module: nn.Module, kimg: float) -> None:
        limit = value_at(self.limit, kimg)
        if not limit > 0:
            raise ConfigError(f"clip's limit is {limit} at {kimg:g} kimg; it must be above 0 at all times")
        weights: list[Tensor] = [weight for weight in module.parameters() if weight.requires_grad]
        if weights:
            torch._foreach_clamp_min_(weights, -limit)
            torch._foreach_clamp_max_(weights, limit)


def clip(limit: Number = 0.01) -> Constraint:
    r"""Weight clipping: after an update every weight is put back into a box.

    .. math:: w \leftarrow \min(\max(w, -c), c)

    As in the authors' code, w is every trainable weight: biases too, and the gains of normalizations, which a small
    limit all but switches off; what is counted, such as a batch norm's running variance, is left alone. Of a
    parametrized weight, such as one with spectral norm, what is trained is clipped.

    Args:
        limit: the greatest magnitude c, above 0, or a schedule of it.

    Raises:
        ConfigError: when the limit is not above 0 at all times, or not finite.

    Source: Arjovsky et al. 2017, Wasserstein GAN, arXiv 1701.07875, algorithm 1.
    """
    if not (least(limit) > 0 and isfinite(greatest(limit))):
        raise ConfigError(f"limit is {described(limit)}; it must be above 0 and finite")
    return _Clip(limit)


# Spectral normalization.

_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Embedding,
)


@dataclass(frozen=True)
class _SpectralNorm(Constraint):
    layers: tuple[str, ...]
    n_power_iterations: int

    def prepare(self, module: nn.Module) -> None:
        for layer in list(self._named(module) if self.layers else _unnormalized(module)):
            weight = layer.weight
            if isinstance(weight, Tensor) and not weight.any():
                raise ConfigError(
                    f"spectral_norm cannot normalize a {type(layer).__name__} whose weight begins at 0, as the last "
                    "ones of r3gan's blocks do: name other layers, or leave it out"
                )
            if _is_scaled(layer):
                # The norm divides any scale out.
                layer.weight_scale = 1.0  # type: ignore[assignment]
            parametrizations.spectral_norm(layer, n_power_iterations=self.n_power_iterations)

    def project(self, module: nn.Module, kimg: float) -> None:
        """The parametrization holds by itself."""

    def _named(self, module: nn.Module) -> Iterator[nn.Module]:
        """The layers that were named, all of them checked before any is changed."""
        layers = {name: layer for name, layer in module.named_modules() if _has_matrix(layer)}
        for name in self.layers:
            if name not in layers:
                there = dict(module.named_modules()).get(name)
                what = (
                    "the network has no such layer"
                    if there is None
                    else f"a {type(there).__name__} has no weight matrix"
                )
                raise ConfigError(f"spectral_norm cannot normalize layer '{name}': {what} {nearest(name, layers)}")
            if _is_normalized(layers[name]):
                raise ConfigError(
                    f"spectral_norm cannot normalize layer '{name}': it is normalized already; leave it out of layers, "
                    "or build the network without spectral norm"
                )
        return (layers[name] for name in dict.fromkeys(self.layers))


def _unnormalized(module: nn.Module) -> Iterator[nn.Module]:
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS) or _is_scaled(layer)]
    if not layers:
        raise ConfigError(
            "spectral_norm found no linear and no convolutional layer in the network: name the layers that it is for"
        )
    return (layer for layer in layers if not _is_normalized(layer))


def _is_scaled(layer: nn.Module) -> bool:
    """Whether a layer multiplies by its weight times a constant, ``weight_scale``: an equalized learning rate."""
    return hasattr(layer, "weight_scale")


def _has_matrix(layer: nn.Module) -> bool:
    if parametrize.is_parametrized(layer, "weight") or _is_normalized(layer):
        return True
    weight = dict(layer.named_parameters(recurse=False)).get("weight")
    return weight is not None and weight.ndim >= 2


def _is_normalized(layer: nn.Module) -> bool:
    """Whether torch normalizes a layer's weight, by a parametrization or by its older hook."""
    if any(isinstance(hook, SpectralNorm) for hook in layer._forward_pre_hooks.values()):
        return True
    chain = getattr(layer, "parametrizations", {})
    return "weight" in chain and any(isinstance(it, parametrizations._SpectralNorm) for it in chain["weight"])


def spectral_norm(layers: Sequence[str] = (), n_power_iterations: int = 1) -> Constraint:
    r"""Spectral normalization: every weight is divided by its largest singular value whenever it is used.

    .. math:: \bar W = W / \sigma(W), \qquad \sigma(W) = \max_{\|h\| \le 1} \|W h\|

    The weight of a convolution is taken as the matrix of its output channels by everything else; that of a layer which
    scales it at run time, by a constant ``weight_scale``, with the scale. :math:`\sigma` is
    found by the power method, which goes on with every pass in training mode; its first vectors are drawn from torch's
    default generator. The weights' names in the network's state change.

    Args:
        layers: the names of the layers, as in ``named_modules()``; if none is named, all linear and convolutional
            ones and embeddings that are not normalized yet.
        n_power_iterations: iterations of the power method a pass, at least 1.

    Raises:
        ConfigError: when a count is below 1; in use, when a layer is not there, has no weight matrix, has one that is
            0, or was named and is normalized already.

    Source: Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv 1802.05957,
    algorithm 1.
    """
    if isinstance(layers, str):
        raise ConfigError(f"layers is the text '{layers}'; give a list of names, such as ['{layers}']")
    if n_power_iterations < 1:
        raise ConfigError(f"n_power_iterations is {n_power_iterations}; it must be at least 1")
    return _SpectralNorm(tuple(layers), n_power_iterations)


CONSTRAINTS: Mapping[str, Constraint] = MappingProxyType({"clip": clip(), "spectral_norm": spectral_norm()})
"""Every constraint by its name, with its default options. The function of the same name builds it with others."""
