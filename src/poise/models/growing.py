"""Networks that grow: a stage, a weight with which the stage fades in, and a schedule for both."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import isclose, isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from poise.errors import ConfigError

__all__ = ["Growing"]


class Growing(nn.Module):
    """A network that grows. Its stage and weight are a part of its state, and survive every copy.

    They are kept outside of the buffers, as numbers: no forward pass reads them from the device, no average blurs them
    and no change of precision rounds them.

    Args:
        first: the side at stage 0.
        side: the data's side, that of the last stage; a power of two.
        grow_kimg: see :func:`progressive_generator`.
        fade_kimg: see :func:`progressive_generator`.

    Attributes:
        first: the side at stage 0.
        side: the data's side.

    Raises:
        ConfigError: when ``first`` is no power of two from 4 to ``side``, or the schedule does not lead there.
    """

    def __init__(self, first: int, side: int, grow_kimg: float | Sequence[float], fade_kimg: float | None) -> None:
        super().__init__()
        if first.bit_count() != 1 or not 4 <= first <= side:
            raise ConfigError(f"first is {first}; it must be a power of two from 4 to the data's side, {side}")
        self.first = first
        self.side = side
        self._schedule = _schedule(first, side, grow_kimg, fade_kimg)
        self._stage = 0
        self._alpha = 1.0

    @property
    def stage(self) -> int:
        """The growths so far."""
        return self._stage

    @property
    def resolution(self) -> int:
        """The side of the images that the stage works on."""
        return self.first << self._stage

    @property
    def grown_at_kimg(self) -> float:
        """The kimg at which the schedule's last fade-in is over."""
        return self._schedule.grown_at

    @property
    def schedule(self) -> tuple[Any, ...]:
        """When it grows, to be compared with the schedule of another network."""
        return self._schedule

    @property
    def alpha(self) -> float:
        """The weight of the stage's layers, in [0, 1]; below 1 it fades in. Always 1 at stage 0."""
        return self._alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha is {alpha}; it must be in [0, 1]")
        if self._stage == 0 and alpha < 1:
            raise ConfigError(f"alpha is {alpha}; at stage 0 nothing fades in, and it must be 1: call grow() before")
        self._alpha = float(alpha)

    def grow(self) -> None:
        """Go to the next stage, at ``alpha`` 0: what comes out does not change yet.

        Raises:
            ConfigError: when there is no next stage.
        """
        if self.resolution == self.side:
            raise ConfigError(f"this network is fully grown: it works at {self.side} x {self.side}, the data's side")
        self._stage += 1
        self._alpha = 0.0

    def progress(self, kimg: float) -> None:
        """Go to the stage and weight that the schedule has at ``kimg``; an averaged copy must be told too.

        Args:
            kimg: thousands of real images shown to the discriminator so far, at least 0.

        Raises:
            ConfigError: when it is below 0.
        """
        if not kimg >= 0:
            raise ConfigError(f"kimg is {kimg}; it must be at least 0")
        self._stage, self._alpha = self._schedule.at(kimg)

    def get_extra_state(self) -> Tensor:
        """The stage and its weight, ``(2,)`` in float64, for :meth:`state_dict`."""
        device = next(self.parameters()).device
        return torch.tensor([self._stage, self._alpha], dtype=torch.float64, device=device)

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what :meth:`get_extra_state` gave, for :meth:`load_state_dict`."""
        stage, alpha = state.tolist()
        self._stage, self._alpha = int(stage), alpha


class _Schedule(NamedTuple):
    """When a network grows: the kimg at which each doubling begins, and for how long each fades in."""

    begins: tuple[float, ...]
    fade: float

    @property
    def grown_at(self) -> float:
        return self.begins[-1] + self.fade if self.begins else 0.0

    def at(self, kimg: float) -> tuple[int, float]:
        """The stage and its weight."""
        stage = bisect_right(self.begins, kimg)
        if stage == 0 or self.fade == 0:
            return stage, 1.0
        return stage, min(1.0, (kimg - self.begins[stage - 1]) / self.fade)


def _schedule(first: int, side: int, grow_kimg: float | Sequence[float], fade_kimg: float | None) -> _Schedule:
    """A schedule that reaches ``side``.

    Raises:
        ConfigError: when it does not, or makes no sense.
    """
    growths = (side // first).bit_length() - 1
    begins = _begins(growths, grow_kimg)
    if len(begins) != growths:
        reached = first << len(begins)
        given = "1 growth, which reaches" if len(begins) == 1 else f"{len(begins)} growths, which reach"
        raise ConfigError(f"grow_kimg has {given} {reached} x {reached}; the data is {side} x {side}: give {growths}")
    if not all(isfinite(begin) and begin >= 0 for begin in begins) or any(b <= a for a, b in pairwise(begins)):
        raise ConfigError(
            f"grow_kimg is {list(begins)}: give the kimg at which each growth begins, finite, at least 0 and increasing"
        )
    spacing = min((b - a for a, b in pairwise(begins)), default=begins[0] if begins else 0.0)
    fade = spacing / 2 if fade_kimg is None else fade_kimg
    if not (isfinite(fade) and fade >= 0):
        raise ConfigError(f"fade_kimg is {fade}; it must be finite and at least 0")
    if len(begins) > 1 and fade > spacing and not isclose(fade, spacing):  # multiples of 0.7 are not 0.7 apart
        raise ConfigError(
            f"fade_kimg is {fade:g}, longer than the {spacing:g} kimg from one growth to the next: give at most "
            f"{spacing:g}"
        )
    return _Schedule(begins, fade)


def _begins(growths: int, grow_kimg: float | Sequence[float]) -> tuple[float, ...]:
    if isinstance(grow_kimg, Sequence):
        return tuple(grow_kimg)
    if not (isfinite(grow_kimg) and grow_kimg > 0):
        raise ConfigError(f"grow_kimg is {grow_kimg}; as a single number, the kimg between growths, it must be above 0")
    return tuple(grow_kimg * number for number in range(1, growths + 1))
