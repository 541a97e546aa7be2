"""Sample pictures."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from poise.trainer import Hook, Trainer

__all__ = ["Samples", "is_due"]


def is_due(step: int, first: int, at_most: int | None) -> bool:
    """Whether a picture is due: at ``first``, then at doubling intervals, which grow to ``at_most`` steps.

    >>> [step for step in range(1, 100) if is_due(step, 8, 32)]
    [8, 16, 32, 64, 96]
    """
    if step < first:
        return False
    interval = first << max((step // first).bit_length() - 1, 0)
    if at_most is not None and interval > at_most:
        interval = at_most
    return step % interval == 0


class Samples(Hook):
    """Draws a picture from one fixed batch of latents, within the first steps and then at doubling intervals.

    Args:
        directory: ``samples``; pictures are named by step.
        draw: ``(samples, step, path)``: makes the picture of samples ``(n, ...)``.
        n: samples a picture.
        seed: of the latents.
        first: the step of the first picture.
        at_most: the longest interval in steps; None for no limit.
    """

    def __init__(
        self,
        directory: Path,
        draw: Callable[[Tensor, int, Path], None],
        n: int,
        seed: int,
        first: int = 16,
        at_most: int | None = None,
    ) -> None:
        self._directory = directory
        self._draw = draw
        self._n, self._seed = n, seed
        self._first, self._at_most = first, at_most
        self.latest: Path | None = None

    def after_step(self, trainer: Trainer) -> None:
        """Draw when it is time."""
        if is_due(trainer.steps, self._first, self._at_most):
            self._picture(trainer)

    def end(self, trainer: Trainer) -> None:
        """Draw the last step."""
        self._picture(trainer)

    def _picture(self, trainer: Trainer) -> None:
        path = self._directory / f"{trainer.steps:08d}.png"
        if path != self.latest:
            self._directory.mkdir(exist_ok=True)
            self._draw(trainer.sample(self._n, self._seed), trainer.steps, path)
            self.latest = path
