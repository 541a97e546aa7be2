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

from poise.schedules import Number, described, least, value_at

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

    Parameters and floating-point buffers (running statistics) are averaged; other buffers, and those of
    parametrizations such as a spectral norm, are copied.

    Args:
        half_life_kimg: the half-life in thousands of images, at least 0; a number or a schedule.
        ramp_up: see :func:`decay`.

    Raises:
        ValueError: when an argument is out of range.
    """

    def __init__(self, half_life_kimg: Number = 10.0, ramp_up: float | None = 0.05) -> None:
        if not least(half_life_kimg) >= 0:
            raise ValueError(f"half_life_kimg is {described(half_life_kimg)}; it must be at least 0")
        if ramp_up is not None and not ramp_up > 0:
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
        ours, theirs = ([*it.named_parameters(), *it.named_buffers()] for it in (average, module))
        # By their order: a copy may name its weights anew.
        for (name, mean), (_, value) in zip(ours, theirs, strict=True):
            means, values = self._averaged if _is_averaged(name, mean) else self._copied
            means.append(mean.detach())
            values.append(value.detach())
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
            half_life_kimg = value_at(self.half_life_kimg, nimg / 1000)
            torch._foreach_lerp_(means, values, 1 - decay(images, nimg, half_life_kimg, self.ramp_up))
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)


def _is_averaged(name: str, tensor: Tensor) -> bool:
    """The vectors of a spectral norm belong to the weights of now: the mean of two of length 1 has not length 1."""
    is_weight = isinstance(tensor, nn.Parameter)
    return tensor.is_floating_point() and (is_weight or ".parametrizations." not in f".{name}")
