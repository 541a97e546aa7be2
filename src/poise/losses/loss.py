"""What an adversarial loss is, and which way it turns the discriminator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poise.errors import ConfigError, ShapeError

__all__ = [
    "AdversarialLoss",
    "LogitLoss",
    "judges_by_sign",
    "looks_at_batch",
    "opposes",
    "per_sample",
    "pushes_real_up",
    "require_equal_shapes",
    "require_values",
]

LogitLoss = Callable[[Tensor, Tensor], Tensor]


class AdversarialLoss(NamedTuple):
    """What each player minimizes.

    Attributes:
        d: the discriminator's loss, ``(real_logits, fake_logits) -> (n,)``.
        g: the generator's loss, ``(real_logits, fake_logits) -> (n,)``.
        g_uses_real: whether ``g`` depends on the real logits. Where it does not, a trainer may spare the forward pass
            that would make them.
        outputs: for a loss that reads a sample's logits as one vector, how many it needs, in shape ``(n, outputs)``.
            None where each logit is a verdict of its own: one a sample, or one a patch.
    """

    d: LogitLoss
    g: LogitLoss
    g_uses_real: bool = False
    outputs: int | None = None

    def scores(self, logits: Tensor) -> Tensor:
        r"""How real samples look: their logits; of a vector of logits l, the outcome that it expects.

        That is :math:`\sum_k u_k \operatorname{softmax}(l)_k` with :math:`u_k` evenly spaced over [-1, 1].

        Args:
            logits: ``(n, ...)``.
        """
        if self.outputs is None:
            return logits
        return logits.softmax(-1) @ torch.linspace(-1, 1, self.outputs, device=logits.device, dtype=logits.dtype)


def require_equal_shapes(real_logits: Tensor, fake_logits: Tensor) -> None:
    """Refuse logits of two shapes, and logits without a batch dimension.

    Raises:
        ShapeError: saying what was given.
    """
    if real_logits.shape != fake_logits.shape:
        raise ShapeError(
            f"real logits have shape {tuple(real_logits.shape)} and fake logits {tuple(fake_logits.shape)}; a loss "
            "needs equal shapes: give both the same batch size, and flatten both or neither"
        )
    if real_logits.ndim == 0:
        raise ShapeError("logits have no batch dimension; a loss needs shape (n,) or (n, ...)")


def per_sample(of: LogitLoss) -> LogitLoss:
    """Check the shapes that ``of`` is given and average what it returns to one value a sample."""

    def loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        require_equal_shapes(real_logits, fake_logits)
        values = of(real_logits, fake_logits)
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    return loss


def require_values(loss: AdversarialLoss) -> None:
    """Refuse a loss that does not give one value a sample, or values that have no derivative.

    It is tried at fixed logits, because what a loss of one's own gives shows only when it is called.

    Args:
        loss: any loss.

    Raises:
        ConfigError: saying what it gives.
    """
    for player, of in (("d", loss.d), ("g", loss.g)):
        with torch.inference_mode(False), torch.enable_grad():
            logits, outcomes = _fixed_logits(loss.outputs)
            real, fake = ((side * outcomes).requires_grad_() for side in (logits, logits.roll(8, 0)))
            values: Any = of(real, fake)
        if not isinstance(values, Tensor) or values.shape != real.shape[:1]:
            given = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
            raise ConfigError(
                f"loss.{player} gives {given} for logits of shape {tuple(real.shape)}; give one value a sample, (n,): "
                "the mean is the trainer's to take"
            )
        if not values.requires_grad:
            raise ConfigError(
                f"loss.{player} gives values that have no derivative; detach neither these nor the logits"
            )


def pushes_real_up(loss: AdversarialLoss) -> bool:
    r"""Whether the discriminator's loss falls as real logits rise and fake ones fall.

    It does for every loss of this package with its default options, so that a higher logit means more real; it does
    not for ``lsgan(a=1, b=0)``, whose targets are swapped. It is measured, so that it holds for a loss of one's own:
    the answer is the sign of the derivative of the mean of :math:`L_D(a + t, b - t)` by t at t = 0, where a and b are
    64 fixed points each, between -2 and 2. Where the loss reads vectors (``outputs``), the logits of the k-th outcome
    are multiplied by :math:`u_k`, evenly spaced over [-1, 1], so that to rise is to move to the later outcomes.

    No random numbers are drawn, and it works where gradients are switched off.

    Args:
        loss: any loss.
    """
    return _slope(loss, lambda real, fake, rise: loss.d(real + rise, fake - rise)) < 0


@torch.no_grad()
def judges_by_sign(loss: AdversarialLoss) -> bool:
    r"""Whether the sign of a logit is a verdict, because 0 is as far from real as from fake.

    It is for ``vanilla`` and ``hinge``. It is not for relativistic losses nor Wasserstein's, which see differences, so
    that all logits may stand anywhere; nor for ``lsgan`` with the targets 0 and 1, whose middle is 1/2. It is measured
    at fixed points a and b, so that it holds for a loss of one's own: whether :math:`L_D(a, b) = L_D(-b, -a)`, and not
    :math:`L_D(a, b) = L_D(a + 1, b + 1)`. Losses that read vectors (``outputs``) have scores whose middle is 0.

    Args:
        loss: any loss.
    """
    if loss.outputs is not None:
        return True
    with torch.inference_mode(False):
        real, _ = _fixed_logits(None)
        fake = real.roll(8, 0)
        here, mirrored, moved = (loss.d(*pair) for pair in ((real, fake), (-fake, -real), (real + 1, fake + 1)))
        return torch.allclose(here, mirrored) and not torch.allclose(here, moved)


def opposes(loss: AdversarialLoss) -> bool | None:
    r"""Whether the generator's loss pulls fakes to the side where the discriminator wants the reals.

    Where it does not, the players work together, and nothing makes fakes like reals: a sign is wrong. It is measured as
    in :func:`pushes_real_up`, by the derivative of the mean of :math:`L_G(a - t, b + t)` by t, with the logits of fakes
    1 towards the side where the discriminator wants them.

    Args:
        loss: any loss.

    Returns:
        None where the derivative is zero, which tells nothing.
    """
    up = 1.0 if pushes_real_up(loss) else -1.0
    slope = up * _slope(loss, lambda real, fake, rise: loss.g(real + up - rise, fake - up + rise))
    return None if slope == 0 else slope < 0


def _slope(loss: AdversarialLoss, of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
    """The derivative by t at t = 0 of the mean of ``of(real, fake, t)``, at fixed logits."""
    with torch.inference_mode(False), torch.enable_grad():
        # Multiples of 1/32, symmetric about 0: their sums are exact, so that a loss without a preference gives 0.
        real, outcomes = _fixed_logits(loss.outputs)
        rise = torch.zeros((), dtype=torch.float64, device="cpu", requires_grad=True)
        values = of(real * outcomes, real.flip(0) * outcomes, rise * outcomes)
        (slope,) = torch.autograd.grad(values.mean(), rise)
    return slope.item()


@torch.no_grad()
def looks_at_batch(loss: AdversarialLoss) -> bool:
    """Whether a sample's loss depends on the logits of other samples, as with ``relativistic_average``.

    It is measured, so that it holds for a loss of one's own: whether changing one of 64 real logits and one of 64
    fake ones changes the value of a pair that has neither.

    Args:
        loss: any loss.
    """
    with torch.inference_mode(False):
        logits, outcomes = _fixed_logits(loss.outputs)
        moved = torch.cat([logits[:-1], logits[-1:] + 1])
        pairs = [(side * outcomes, side.roll(8, 0) * outcomes) for side in (logits, moved)]
        # Rolled, the last one has become the eighth.
        others = torch.ones(len(logits), dtype=torch.bool, device="cpu")
        others[[7, -1]] = False
        return any(not torch.equal(of(*pairs[0])[others], of(*pairs[1])[others]) for of in (loss.d, loss.g))


def _fixed_logits(outputs: int | None) -> tuple[Tensor, Tensor]:
    """64 points between -2 and 2; and by what one is multiplied to be a logit, or as many as a loss reads."""
    logits = (torch.arange(64, dtype=torch.float64, device="cpu") - 31.5) / 16
    if outputs is None:
        return logits, torch.ones((), dtype=torch.float64, device="cpu")
    return logits[:, None], torch.linspace(-1, 1, outputs, dtype=torch.float64, device="cpu")
