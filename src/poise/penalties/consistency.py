"""Penalties on what changes that should change nothing change in D's logits, or in G's samples."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from poise.errors import ConfigError, ShapeError
from poise.parallel import batch
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Role, Scene

__all__ = ["bcr", "zcr", "zcr_g"]

Transform = Callable[[Tensor], Tensor]


def _squared_difference(before: Tensor, after: Tensor) -> Tensor:
    """Of the logits of each sample; many of them (patches) are averaged."""
    return (before - after).square().reshape(len(before), -1).mean(1)


@dataclass(frozen=True)
class _Jiggle:
    """Shifts and flips images, and jitters anything else; each sample by a draw of its own."""

    shift: float
    flip: bool
    jitter: float

    def __call__(self, samples: Tensor) -> Tensor:
        if samples.ndim != 4:
            return samples + self.jitter * batch.randn_like(samples)
        return self._moved(samples)

    def _moved(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        rows, columns = self._places(n, height, images.device), self._places(n, width, images.device)
        if self.flip:
            flipped = batch.randint(0, 2, n, 1, device=images.device, dtype=torch.bool)
            columns = torch.where(flipped, width - 1 - columns, columns)
        sample = torch.arange(n, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[:, None, None]
        return images[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _places(self, n: int, side: int, device: torch.device) -> Tensor:
        """Where each pixel along one side comes from, ``(n, side)``."""
        most = min(max(1, round(self.shift * side)), side - 1) if self.shift else 0
        places = torch.arange(side, device=device) + batch.randint(-most, most + 1, n, 1, device=device)
        return side - 1 - (side - 1 - places.abs()).abs()  # mirrored at both edges


@dataclass(frozen=True)
class _Bcr:
    transform: Transform
    real: float
    fake: float

    @property
    def acts_on(self) -> frozenset[Role]:
        """The generator too where fakes count."""
        return frozenset({"D", "G"} if self.fake else {"D"})

    def __call__(self, scene: Scene) -> Tensor:
        terms = []
        if self.real:  # A factor of 0 spares a pass.
            terms.append(self.real * self._change(scene, scene.real, scene.real_logits))
        if self.fake:
            terms.append(self.fake * self._change(scene, scene.fake, scene.fake_logits))
        return torch.stack(terms).sum(0)

    def _change(self, scene: Scene, samples: Tensor, logits: Tensor) -> Tensor:
        transformed = self.transform(samples)
        if transformed.shape != samples.shape:
            raise ShapeError(
                f"the transform of bcr made samples of shape {tuple(transformed.shape)} of {tuple(samples.shape)}; it "
                "must keep the shape"
            )
        return _squared_difference(logits, scene.critic(transformed))


def bcr(
    transform: Transform | None = None,
    shift: float = 0.125,
    flip: bool = False,
    jitter: float = 0.05,
    real: float = 1.0,
    fake: float = 1.0,
) -> Penalty:
    r"""Balanced consistency regularization: a change that keeps a sample's meaning must not change its logit.

    .. math:: \lambda_{real}\,(D(x) - D(T(x)))^2 + \lambda_{fake}\,(D(G(z)) - D(T(G(z))))^2

    Unless a transform is given, images ``(n, c, h, w)`` are shifted by whole pixels, mirrored into what would be left
    open, and everything else is jittered by normal noise. Every sample has a draw of its own from torch's default
    generator, reals and fakes apart. Several logits a sample (patches) are averaged.

    Args:
        transform: T, from samples to changed samples of the same shape, in place of the following three.
        shift: the greatest shift of images in either direction as a share of that side, in [0, 0.5]; at least one
            pixel unless it is 0.
        flip: mirror half of the images left to right, too. Not for data in which left and right differ.
        jitter: the standard deviation of the noise on samples that are no images, in units of the data; above 0 and
            finite.
        real: the factor of the reals' term, at least 0 and finite.
        fake: the factor of the fakes' term, at least 0 and finite.

    Raises:
        ConfigError: when an option is out of its range, or nothing would be changed or compared.

    Source: Zhao et al. 2020, Improved Consistency Regularization for GANs, arXiv 2002.04724, the method named bCR. In
    StudioGAN, a reproduction, both factors are 10.
    """
    if not 0 <= shift <= 0.5:
        raise ConfigError(f"shift is {shift}; it is a share of the image's side, at least 0 and at most 0.5")
    _require_above_0("jitter", jitter)
    if not (real >= 0 and fake >= 0 and 0 < real + fake < inf):
        raise ConfigError(
            f"real is {real} and fake is {fake}; they must be at least 0 and finite, and one of them above 0"
        )
    if transform is None and not shift and not flip:
        raise ConfigError(
            "shift is 0 and flip is off, so that images stay as they are: give one of them, or a transform"
        )
    return _Bcr(transform or _Jiggle(shift, flip, jitter), real, fake)


@dataclass(frozen=True)
class _Zcr:
    std: float

    def __call__(self, scene: Scene) -> Tensor:
        return _squared_difference(scene.fake_logits, scene.critic(_nearby(scene, self.std)))


@dataclass(frozen=True)
class _ZcrG:
    std: float
    to: ClassVar[Role] = "G"
    acts_on: ClassVar[frozenset[Role]] = frozenset({"G"})

    def __call__(self, scene: Scene) -> Tensor:
        return -(scene.fake - _nearby(scene, self.std)).flatten(1).square().sum(1)


def _nearby(scene: Scene, std: float) -> Tensor:
    """G's samples of latents close to those of the scene."""
    return scene.samples(scene.z + std * batch.randn_like(scene.z))


def zcr(std: float = 0.05) -> Penalty:
    r"""Latent consistency regularization of D: close latents must not differ in their logits.

    .. math:: (D(G(z)) - D(G(z + \sigma \epsilon)))^2, \qquad \epsilon \sim N(0, I)

    Several logits a sample (patches) are averaged.

    Args:
        std: the standard deviation :math:`\sigma` of the noise, above 0 and finite.

    Raises:
        ConfigError: when it is out of range.

    Source: Zhao et al. 2020, Improved Consistency Regularization for GANs, arXiv 2002.04724, D's part of the method
    named zCR. In StudioGAN, a reproduction, the weight is 20 and the standard deviation 0.05.
    """
    _require_above_0("std", std)
    return _Zcr(std)


def zcr_g(std: float = 0.05) -> Penalty:
    r"""Latent consistency regularization of G: close latents must not make the same samples.

    .. math:: -\|G(z) - G(z + \sigma \epsilon)\|^2, \qquad \epsilon \sim N(0, I)

    The squared norm is a sum over the sample's entries, so that the weight depends on how many there are. For the
    generator; it has no lower bound where samples have no bounds.

    Args:
        std: the standard deviation :math:`\sigma` of the noise, above 0 and finite.

    Raises:
        ConfigError: when it is out of range.

    Source: Zhao et al. 2020, arXiv 2002.04724, G's part of the method named zCR. In StudioGAN, which takes the mean
    over entries, the weight is 0.5.
    """
    _require_above_0("std", std)
    return _ZcrG(std)


def _require_above_0(name: str, value: float) -> None:
    if not 0 < value < inf:
        raise ConfigError(f"{name} is {value}; it must be above 0 and finite")
