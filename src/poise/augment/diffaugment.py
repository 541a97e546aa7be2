"""Changes of color, translations and cutouts."""

import torch
from torch import Tensor

from poise.augment.augment import Augment
from poise.augment.color import is_colored, of_pixels, recolored
from poise.augment.draws import uniform, whole, with_chance
from poise.augment.pipeline import pipeline
from poise.augment.resample import translate
from poise.errors import ConfigError

__all__ = ["diffaugment"]


def diffaugment(color: bool = True, translation: float = 0.125, cutout: float = 0.5) -> Augment:
    r"""DiffAugment: what is drawn, each with probability p, in this order.

    - ``color``: brightness, :math:`x + b`; saturation, :math:`\bar x + s (x - \bar x)` with the mean over the channels
      of each pixel; contrast, :math:`\bar x + c (x - \bar x)` with the mean over the image; b, s and c are from
      U[-0.5, 0.5), U[0, 2) and U[0.5, 1.5). Saturation is for images with colors: of three channels, or four, of which
      the last is their opacity and stays.
    - ``translation``: by whole pixels, each way evenly up to that share of the sides; what comes in is 0.
    - ``cutout``: a hole of that share of the sides, filled with 0, with its center anywhere in the image.

    With p = 1 all of it is done to every image, as in the paper.

    Args:
        color: change brightness, saturation and contrast.
        translation: the greatest translation as a share of the sides, in [0, 1); 0 for none.
        cutout: the sides of the hole as a share of the image's, in [0, 1]; 0 for none.

    Raises:
        ConfigError: when a share is outside its range, or there is nothing to do.

    Source: Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv 2006.10738,
    section 3.
    """
    if not 0 <= translation < 1:
        raise ConfigError(f"translation is {translation}; it is a share of the sides, at least 0 and below 1")
    if not 0 <= cutout <= 1:
        raise ConfigError(f"cutout is {cutout}; it is a share of the sides, at least 0 and at most 1")
    transformations: list[Augment] = [_brightness, _saturation, _contrast] if color else []
    if translation:
        transformations.append(lambda images, p: _translation(images, p, translation))
    if cutout:
        transformations.append(lambda images, p: _cutout(images, p, cutout))
    if not transformations:
        raise ConfigError("color, translation and cutout are all off, so nothing is left; leave augmentation out")
    return pipeline(*transformations)


# Each of color is written as x + (s - 1) (x - mean), which for the neutral s = 1 is x to the bit.


def _brightness(images: Tensor, p: Tensor | float) -> Tensor:
    shift = of_pixels(with_chance(p, uniform(images, -0.5, 0.5), 0.0))
    return recolored(images, lambda x: x + shift)


def _saturation(images: Tensor, p: Tensor | float) -> Tensor:
    if not is_colored(images):
        return images
    change = of_pixels(with_chance(p, uniform(images, -1.0, 1.0), 0.0))
    return recolored(images, lambda x: x + change * (x - x.mean(1, keepdim=True)))


def _contrast(images: Tensor, p: Tensor | float) -> Tensor:
    change = of_pixels(with_chance(p, uniform(images, -0.5, 0.5), 0.0))
    return recolored(images, lambda x: x + change * (x - x.mean((1, 2, 3), keepdim=True)))


def _rounded(share: float, size: int) -> int:
    return int(share * size + 0.5)


def _translation(images: Tensor, p: Tensor | float, share: float) -> Tensor:
    most = [_rounded(share, size) for size in images.shape[2:]]
    down, right = with_chance(p, torch.stack([whole(images, -size, size) for size in most]), 0)
    return translate(images, down, right)


def _cutout(images: Tensor, p: Tensor | float, share: float) -> Tensor:
    hole = [_rounded(share, size) for size in images.shape[2:]]
    is_cut = with_chance(p, torch.ones(len(images), device=images.device), 0.0) > 0
    inside = []
    for size, length in zip(images.shape[2:], hole, strict=True):
        # An odd length has a pixel for its center; an even one a line between pixels, or a border.
        start = whole(images, 0, size - length % 2) - length // 2
        place = torch.arange(size, device=images.device)
        inside.append((place >= start[:, None]) & (place < start[:, None] + length))
    rows, columns = inside
    is_hole = is_cut[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return images.masked_fill(is_hole[:, None], 0.0)
