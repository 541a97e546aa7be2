"""What a penalty is, and how it enters a player's objective."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from poise.errors import ShapeError
from poise.penalties.scene import Role, Scene
from poise.schedules import Number

__all__ = ["Penalty", "Weighted", "acts_on", "gradient_penalty", "log_name", "player_of"]


class Penalty(Protocol):
    """Any callable of a scene.

    One that is meant for the generator has an attribute ``to = "G"``; one that depends on the weights of one player
    alone has ``acts_on``, such as ``{"D"}``; one that looks at features of D has ``layers``, the names of the layers
    that it wants to see.
    """

    def __call__(self, scene: Scene, /) -> Tensor:
        """The penalty of each sample, ``(n,)``, or one number for the batch, ``()``.

        It is differentiable with respect to the weights of the player that it goes to.
        """


class Weighted(NamedTuple):
    """A penalty as it enters a player's objective.

    Attributes:
        penalty: the penalty.
        weight: its factor, or a schedule of it; the papers' gamma for ``r1`` and ``r2``, lambda for ``wgan_gp``.
        every: take it on every so many-th update of the player only, multiplied by as many («lazy regularization»:
            Karras et al. 2020, arXiv 1912.04958, section 3.1).
        to: the player that minimizes it; the penalty's own if none is given.
    """

    penalty: Penalty
    weight: Number
    every: int = 1
    to: Role | None = None


def player_of(penalty: Penalty) -> Role:
    """The player that minimizes a penalty where nobody says otherwise: the discriminator, or the penalty's ``to``."""
    role: Role = getattr(penalty, "to", "D")
    return role


def acts_on(penalty: Penalty) -> frozenset[Role]:
    """The players on whose weights a penalty depends: both, or those that its ``acts_on`` names."""
    return frozenset(getattr(penalty, "acts_on", ("D", "G")))


def gradient_penalty(penalty: Penalty, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The penalty of each sample, differentiable with respect to the critic's weights.

    Args:
        penalty: any that needs no generator.
        critic: gives logits ``(n, ...)`` of samples ``(n, ...)``; several logits a sample (patches) are averaged, so
            that the gradient is that of the sample's mean logit. It must not mix samples of a batch.
        real: real samples, ``(n, ...)``.
        fake: generated samples, of the same shape.

    Returns:
        ``(n,)``. A penalty that is one number for the batch gives every sample that number.

    Raises:
        ConfigError: when the penalty needs what only a trainer has.
        ShapeError: when ``real`` and ``fake`` differ in shape.
    """
    if real.shape != fake.shape:
        raise ShapeError(
            f"real samples have shape {tuple(real.shape)} and fake ones {tuple(fake.shape)}; a gradient penalty needs "
            "equal shapes: check the generator's output against the data"
        )
    values = penalty(Scene(critic, real=real, fake=fake))
    return values.expand(len(real)) if values.ndim == 0 else values


def log_name(name: str) -> str:
    """The name under which a penalty's term is logged: ``r1_loss``; ``gp_loss`` for ``wgan_gp``."""
    return f"{_SHORT.get(name, name)}_loss"


_SHORT = {"wgan_gp": "gp"}
