"""Penalties on what D's inner layers make of samples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from poise.errors import ConfigError, ShapeError, nearest
from poise.parallel import batch
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Role, Scene

__all__ = ["feature_matching"]

Reduce = Literal["batch", "sample"]


@dataclass(frozen=True)
class _FeatureMatching:
    layers: tuple[str, ...]
    reduce: Reduce
    to: ClassVar[Role] = "G"

    def __call__(self, scene: Scene) -> Tensor:
        real, fake = scene.real_view.features, scene.fake_view.features
        names = self.layers or _all(real)
        return torch.stack(
            [self._difference(scene, name, _named(real, name), _named(fake, name)) for name in names]
        ).mean(0)

    def _difference(self, scene: Scene, name: str, real: Tensor, fake: Tensor) -> Tensor:
        real = real.detach() if scene.player == "G" else real
        if self.reduce == "batch":
            return (batch.mean(real, 0) - batch.mean(fake, 0)).abs().mean()
        if real.shape != fake.shape:
            raise ShapeError(
                f"layer '{name}' made features of shape {tuple(real.shape)} of reals and {tuple(fake.shape)} of fakes; "
                "feature_matching with reduce='sample' compares pairs: give as many reals as fakes, or reduce='batch'"
            )
        return (real - fake).abs().reshape(len(real), -1).mean(1)


def _all(features: Mapping[str, Tensor]) -> Iterable[str]:
    if not features:
        raise ConfigError(
            "feature_matching was given no layers, and the discriminator returns no features beside its logits: give "
            "layers, the names of some of its layers"
        )
    return features


def _named(features: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in features:
        raise ConfigError(
            f"feature_matching looks at layer '{name}', which the scene does not show {nearest(name, features)}: give "
            "Scene(..., layers=...) its name"
        )
    return features[name]


def feature_matching(layers: Sequence[str] = (), reduce: Reduce = "batch") -> Penalty:
    r"""How far D's features f of fakes are from those of reals, averaged over the layers and over their entries.

    .. math:: \overline{|\,\mathbb{E}_x f(x) - \mathbb{E}_z f(G(z))\,|} \qquad \text{or, with reduce="sample",} \qquad
        \overline{|f(x_i) - f(G(z_i))|}

    The source has the squared L2 norm of the difference of batch means in one layer; here it is the mean absolute
    difference, which layers of any size add to alike. For the generator, to which the features of reals are
    constants.

    Args:
        layers: the names of D's layers whose outputs are features (see :func:`layer_named`); if none is named, all
            that the scene shows: what D returns beside its logits, and layers that other penalties name.
        reduce: ``batch``, to compare means over the batch, one number; or ``sample``, to compare each fake with the
            real of its index, ``(n,)``.

    Raises:
        ConfigError: when ``reduce`` is another word; in use, when there are no such features.

    Source: Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498, section 3.1.
    """
    if isinstance(layers, str):
        raise ConfigError(f"layers is the text '{layers}'; give a list of names, such as ['{layers}']")
    if reduce not in get_args(Reduce):
        raise ConfigError(f"reduce is '{reduce}' {nearest(reduce, get_args(Reduce))}")
    return _FeatureMatching(tuple(layers), reduce)
