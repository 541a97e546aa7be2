r"""Penalties that hold D's logits to what they were."""

from dataclasses import dataclass

import torch
from torch import Tensor

from poise.errors import ConfigError
from poise.parallel import batch
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Scene, Side

__all__ = ["lecam"]


@dataclass(frozen=True)
class _LeCam:
    decay: float
    one_sided: bool

    def __call__(self, scene: Scene) -> Tensor:
        a, b = scene.real_logits, scene.fake_logits
        above_fakes = a - self._anchor(scene, "fake", b)
        below_reals = self._anchor(scene, "real", a) - b
        if self.one_sided:
            above_fakes, below_reals = above_fakes.relu(), below_reals.relu()
        return _mean(above_fakes.square()) + _mean(below_reals.square())

    def _anchor(self, scene: Scene, side: Side, logits: Tensor) -> Tensor:
        """The moving average after these logits, which it starts from."""
        key, mean = f"{scene.entry}.{side}", batch.mean(logits.detach())
        before = scene.memory.get(key)
        after = mean if before is None else torch.lerp(mean, before.to(mean), self.decay)
        scene.memory[key] = after
        return after


def _mean(values: Tensor) -> Tensor:
    """Many values a sample, one for each logit, to their mean."""
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def lecam(decay: float = 0.99, one_sided: bool = False) -> Penalty:
    r"""LeCam regularization: D's logits on either side are held near what they have lately been on the other.

    .. math:: (D(x) - \alpha_F)^2 + (D(G(z)) - \alpha_R)^2

    The anchors are moving averages of D's mean logit on reals and on fakes, :math:`\alpha \leftarrow \gamma \alpha +
    (1 - \gamma)\,\overline{D}`, each moved first and then used; in the first update they are that batch's means. They
    are constants for the gradient. They move when the penalty is taken, so with ``every`` set the decay is that of
    every so many-th update. One-sided, a logit is held only where it lies on its own side: :math:`\max(0, D(x) -
    \alpha_F)^2 + \max(0, \alpha_R - D(G(z)))^2`, as in the authors' code. Several logits a sample (patches) are
    averaged.

    It keeps ``real`` and ``fake`` in the scene's memory, after the name of its entry: ``lecam.real``.

    Args:
        decay: the share :math:`\gamma` of an anchor that stays, in [0, 1); 0.99 in the authors' code.
        one_sided: leave logits beyond the other side's anchor alone.

    Raises:
        ConfigError: when the decay is outside [0, 1).

    Source: Tseng et al. 2021, Regularizing Generative Adversarial Networks under Limited Data, arXiv 2104.03310,
    section 3; the one-sided form: github.com/google/lecam-gan.
    """
    if not 0 <= decay < 1:
        raise ConfigError(f"decay is {decay}; it must be at least 0 and below 1")
    return _LeCam(decay, one_sided)
