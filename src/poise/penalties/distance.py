r"""Penalties on the gradient of a distance between what D makes of reals and of fakes."""

from __future__ import annotations  # nested functions are traced, and their annotations would be too

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from poise.errors import ConfigError, ShapeError, nearest
from poise.parallel import batch
from poise.penalties.derivative import pullback
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Scene

__all__ = ["adversarial_norm", "gradient_norm"]

Mode = Literal["real", "fake"]


@dataclass(frozen=True)
class _GradientNorm:
    def __call__(self, scene: Scene) -> Tensor:
        fake_mean = batch.mean(scene.fake_logits)

        def distance(real: Tensor) -> tuple[Tensor, tuple[()]]:
            return batch.share((batch.mean(scene.critic(real)) - fake_mean).relu().square()), ()

        # It may be 0: D may be flat, or judge reals no better than fakes.
        return batch.norm(pullback(distance, scene.real)[2]())


def gradient_norm() -> Penalty:
    r"""The norm of the gradient, with respect to all reals at once, of how much better D judges them.

    .. math:: \|\nabla_x r\|, \qquad r = \max(0, \overline{D(x)} - \overline{D(G(z))})^2

    Bars are means over the batch (and over patches), so that the gradient at one real has the factor 1/n. It is 0
    where D judges reals no better than fakes. Given to the generator, it acts through :math:`\overline{D(G(z))}`.

    Returns:
        A penalty that is one number for the batch.
    """
    return _GradientNorm()


@dataclass(frozen=True)
class _AdversarialNorm:
    mode: Mode

    def __call__(self, scene: Scene) -> Tensor:
        # In the generator's step its samples depend on its weights, and so does the gradient that is taken there.
        target, others = (scene.real, scene.fake_logits) if self.mode == "real" else (scene.fake, scene.real_logits)

        def distance(target: Tensor) -> tuple[Tensor, tuple[()]]:
            logits = scene.critic(target)
            if logits.shape != others.shape:
                raise ShapeError(
                    f"the discriminator made logits of shape {tuple(logits.shape)} of one side and of shape "
                    f"{tuple(others.shape)} of the other; adversarial_norm compares pairs: give as many reals as fakes"
                )
            return batch.share((logits - others).square().mean()), ()

        return -pullback(distance, target)[2]().square().mean()


def adversarial_norm(mode: Mode = "real") -> Penalty:
    r"""Minus the mean square of the direction in which samples would move to part D's logits.

    .. math:: -\overline{v^2}, \qquad v = \nabla_t\, \overline{(D(t) - D(G(z)))^2} \; \text{at} \; t = x

    The inner mean is over all logits, pair by pair; the outer one over all entries of v. With ``mode="fake"`` the
    roles are exchanged: :math:`v = \nabla_t\, \overline{(D(x) - D(t))^2}` at :math:`t = G(z)`. To minimize it is to
    make D steep where the two sides differ; it has no lower bound.

    Args:
        mode: whether v is taken at the reals or at the fakes.

    Returns:
        A penalty that is one number for the batch.

    Raises:
        ConfigError: when the mode is another word.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"there is no mode '{mode}' {nearest(mode, get_args(Mode))}")
    return _AdversarialNorm(mode)
