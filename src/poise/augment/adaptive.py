"""The probability of augmentation, moved by how far the discriminator has overfitted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from poise.errors import ConfigError

__all__ = ["Adaptive"]


@dataclass(frozen=True)
class Adaptive:
    r"""Raises p while D knows the reals too well, and lowers it else.

    .. math:: p \leftarrow \mathrm{clip}\big(p \pm \tfrac{n}{1000\, \mathrm{kimg}},\; 0,\; \mathrm{most}\big), \qquad
        + \text{ where } r_t = E[\mathrm{sign}(D(x))] > \mathrm{target}

    A discriminator that has learned its reals by heart gives them logits above 0, so that :math:`r_t` nears 1. Where
    the sign of a logit says nothing (:func:`~poise.losses.judges_by_sign`), as with relativistic losses, it is that of
    the distance from the middle between the batch's mean logits of reals and of fakes.

    Args:
        target: the wanted mean sign of the logits of reals, in [-1, 1].
        kimg: thousands of reals after which p would have gone from 0 to 1.
        most: what p never exceeds, in [0, 1]. Above 0.8 or so augmentations leak: the generator learns to
            make augmented images.

    Raises:
        ConfigError: when a number is outside its range.

    Source: Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv 2006.06676,
    sections 3.1 (the rule and its numbers) and 2.2 (the bound).
    """

    target: float = 0.6
    kimg: float = 500.0
    most: float = 0.8

    def __post_init__(self) -> None:
        if not -1 <= self.target <= 1:
            raise ConfigError(f"target is {self.target}; a mean of signs is at least -1 and at most 1")
        if not 0 < self.kimg < float("inf"):
            raise ConfigError(f"kimg is {self.kimg}; it must be above 0, and finite")
        if not 0 <= self.most <= 1:
            raise ConfigError(f"most is {self.most}; a probability is at least 0 and at most 1")

    def __call__(self, p: Tensor, sign: Tensor, images: int) -> Tensor:
        """The next p.

        Args:
            p: the probability now, ``()``.
            sign: the mean sign of D's logits of reals since p last moved, ``()``.
            images: reals that D saw since then.
        """
        step = images / (1000 * self.kimg)
        return torch.where(sign > self.target, p + step, p - step).clamp(0.0, self.most)
