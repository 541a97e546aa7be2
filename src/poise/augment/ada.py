"""The augmentation pipe of adaptive discriminator augmentation (ADA)."""

from math import sqrt

import torch
from torch import Tensor

from poise.augment.augment import Augment
from poise.augment.color import is_colored, of_pixels, recolored
from poise.augment.draws import angles, normal, uniform, whole, with_chance
from poise.augment.pipeline import pipeline
from poise.augment.resample import affine
from poise.errors import ConfigError

__all__ = ["ada"]


def ada(blit: bool = True, geometry: bool = True, color: bool = True) -> Augment:
    r"""The pipe that the paper settles on, "bgc": what is drawn, each with probability p.

    - ``blit``: a mirror image or not; a rotation by 0, 90, 180 or 270 degrees; a translation by whole pixels, each way
      evenly up to 1/8 of the sides.
    - ``geometry``: scaling by :math:`2^{0.2 g}` with g from N(0, 1); a rotation by any angle; scaling of one axis by
      :math:`2^{0.2 g}` and of the other by its inverse; a second rotation; a translation by N(0, 1/8) of the sides.
      Each rotation has the probability :math:`1 - \sqrt{1 - p}`, so that at least one of them happens with p.
    - ``color``: brightness, + N(0, 0.2); contrast, times :math:`2^{0.5 g}`; lightness mirrored at 0 or not; hue, a
      rotation by any angle around the axis of the grays; saturation, the distance from that axis times :math:`2^g`.
      Hue and saturation are for images with colors: of three channels, or four, of which the last is their opacity and
      stays.

    All of blitting and geometry is one reading of the image, reflected at its borders. It is bilinear, where the paper
    reads through wavelet filters: what lies between pixels comes out a little softer, at a fraction of the cost.

    Args:
        blit: do the first group.
        geometry: do the second group.
        color: do the third group.

    Raises:
        ConfigError: when there is nothing to do.

    Source: Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv 2006.06676,
    appendix B.
    """
    transformations: list[Augment] = []
    if blit or geometry:
        transformations.append(lambda images, p: _placed(images, p, blit, geometry))
    if color:
        transformations.append(_colored)
    if not transformations:
        raise ConfigError("blit, geometry and color are all off, so nothing is left; leave augmentation out")
    return pipeline(*transformations)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The product of matrices ``(n, i, k)`` and ``(n, k, j)``, never rounded to bfloat16 or TF32."""
    return (left[..., None] * right[:, None]).sum(2)


# Geometry. A place in the changed image is mapped to the one to read from, so draws are inverted: scales, angles and
# translations have symmetric distributions, so each is drawn as its own inverse.


def _placed(images: Tensor, p: Tensor | float, blit: bool, geometry: bool) -> Tensor:
    h, w = images.shape[2:]
    linear = torch.eye(2, device=images.device).expand(len(images), 2, 2)
    offset = torch.zeros(len(images), 2, device=images.device)
    if blit:
        sign = 1.0 - 2.0 * with_chance(p, whole(images, 0, 1), 0)
        linear = _product(linear, _scaling(sign, torch.ones_like(sign)))
        quarters = with_chance(p, whole(images, 0, 3), 0)
        # The cosine and the sine of so many quarters of a turn, to the bit.
        cosine, sine = ((quarters == k).float() - (quarters == k + 2).float() for k in (0, 1))
        linear = _product(linear, _turn(cosine, sine))
        share = with_chance(p, torch.stack([uniform(images, -0.125, 0.125) for _ in "xy"]), 0.0)
        offset = (
            offset
            + _product(linear, torch.stack(((w * share[0]).round(), (h * share[1]).round()), 1)[..., None])[..., 0]
        )
    if geometry:
        size = with_chance(p, normal(images, 0.2), 0.0).exp2()
        linear = linear * size[:, None, None]
        linear = _product(linear, _rotation(images, p))
        ratio = with_chance(p, normal(images, 0.2), 0.0).exp2()
        linear = _product(linear, _scaling(ratio, 1 / ratio))
        linear = _product(linear, _rotation(images, p))
        share = with_chance(p, torch.stack([normal(images, 0.125) for _ in "xy"]), 0.0)
        offset = offset + _product(linear, torch.stack((w * share[0], h * share[1]), 1)[..., None])[..., 0]
    return affine(images, linear, offset)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack((x, y), 1).diag_embed()


def _turn(cosine: Tensor, sine: Tensor) -> Tensor:
    return torch.stack((cosine, sine, -sine, cosine), 1).reshape(-1, 2, 2)


def _rotation(images: Tensor, p: Tensor | float) -> Tensor:
    """A rotation that is drawn twice, so that at least one of the two happens with probability p."""
    angle = with_chance(1 - (1 - p) ** 0.5, angles(images), 0.0)
    return _turn(angle.cos(), angle.sin())


# Color: an affine map of each pixel's channels.


def _colored(images: Tensor, p: Tensor | float) -> Tensor:
    count = 3 if is_colored(images) else images.shape[1]
    identity = torch.eye(count, device=images.device)
    gray = torch.full((count, count), 1 / count, device=images.device)  # v v^T, with v the axis of the grays

    brightness = with_chance(p, normal(images, 0.2), 0.0)
    contrast = with_chance(p, normal(images, 0.5), 0.0).exp2()
    is_mirrored = with_chance(p, whole(images, 0, 1), 0)
    matrix = contrast[:, None, None] * identity
    matrix = _product(identity - 2.0 * is_mirrored[:, None, None] * gray, matrix)
    if count == 3:
        angle = with_chance(p, angles(images), 0.0)[:, None, None]
        across = (identity.roll(1, 0) - identity.roll(-1, 0)) / sqrt(3)  # u -> v x u
        # Rodrigues' formula.
        matrix = _product(angle.cos() * identity + angle.sin() * across + (1 - angle.cos()) * gray, matrix)
        saturation = with_chance(p, normal(images, 1.0), 0.0).exp2()[:, None, None]
        matrix = _product(identity + (saturation - 1) * (identity - gray), matrix)
    shift = brightness[:, None] * matrix.sum(2)

    def change(x: Tensor) -> Tensor:
        changed = of_pixels(shift)
        for channel in range(count):
            changed = changed + of_pixels(matrix[:, :, channel]) * x[:, channel : channel + 1]
        return changed

    return recolored(images, change)
