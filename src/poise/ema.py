r"""The exponential moving average of a network's weights.

After :math:`m` images the average moves by

.. math:: \bar\theta \leftarrow \beta\,\bar\theta + (1 - \beta)\,\theta, \qquad \beta = 2^{-m / h}

with the half-life :math:`h` in images. While training is young, a long half-life would average over the initial noise,
so :math:`h = \min(h_0, \rho \cdot \mathrm{nimg})`.

Source: Karras et al. 2020, Training GANs with Limited Data, arXiv 2006.06676 (half-life and
ramp-up, as in the settings of their experiments).
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

__all__ = ["Ema", "decay"]


def decay(images: float, nimg: float, half_life_kimg: float, ramp_up: float | None) -> float:
    r"""The factor :math:`\beta` that the average keeps over ``images`` images.

    Args:
        images: images since the last update.
        nimg: images shown in all, including these.
        half_life_kimg: the half-life in thousands of images; 0 gives no averaging.
        ramp_up: the share of ``nimg`` that the half-life may not exceed, or None for no ramp-up.
    """
    half_life = 1000 * half_life_kimg
    if ramp_up is not None:
        half_life = min(half_life, ramp_up * nimg)
    return float(0.5 ** (images / half_life)) if half_life > 0 else 0.0


class Ema:
    """An averaged copy of a module, in evaluation mode and without gradients.

    Parameters and floating-point buffers (running statistics) are averaged; other buffers are copied.

    Args:
        half_life_kimg: the half-life in thousands of images, at least 0.
        ramp_up: see :func:`decay`.

    Raises:
        ValueError: when an argument is out of range.
    """

    def __init__(self, half_life_kimg: float = 10.0, ramp_up: float | None = 0.05) -> None:
        if half_life_kimg < 0:
            raise ValueError(f"half_life_kimg is {half_life_kimg}; it must be at least 0")
        if ramp_up is not None and ramp_up <= 0:
            raise ValueError(f"ramp_up is {ramp_up}; it must be above 0, or none for no ramp-up")
        self.half_life_kimg = half_life_kimg
        self.ramp_up = ramp_up
        self._averaged: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._copied: tuple[list[Tensor], list[Tensor]] = ([], [])

    def follow(self, module: nn.Module) -> nn.Module:
        """Begin to follow ``module``; return its averaged copy.

        Raises:
            ValueError: when this follows another module already.
        """
        if self._averaged[0]:
            raise ValueError("this Ema follows another module already; make one for each trainer")
        average = deepcopy(module).eval().requires_grad_(False)
        pairs = [
            (mean.detach(), value.detach())
            for mean, value in zip(
                [*average.parameters(), *average.buffers()], [*module.parameters(), *module.buffers()], strict=True
            )
        ]
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._averaged = ([mean for mean, _ in averaged], [value for _, value in averaged])
        self._copied = ([mean for mean, _ in copied], [value for _, value in copied])
        return average

    @torch.no_grad()
    def update(self, images: int, nimg: int) -> None:
        """Move the average towards the module.

        Args:
            images: images since the last update.
            nimg: images shown in all.
        """
        means, values = self._averaged
        if means:
            torch._foreach_lerp_(means, values, 1 - decay(images, nimg, self.half_life_kimg, self.ramp_up))
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)
