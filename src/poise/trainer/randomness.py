"""Randomness as a function of (seed, rank, number): a resume needs no generator state."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from poise.parallel import World, batch

__all__ = ["Randomness", "latents", "mix"]

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """Hash integers to 63 bits: neighbouring inputs give unrelated outputs.

    Source: the finalizer of SplitMix64; Steele et al. 2014, Fast Splittable Pseudorandom Number Generators, figure 16.
    """
    state = 0
    for number in numbers:
        state = (state ^ (number & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def latents(n: int, z_dim: int, seed: int) -> torch.Tensor:
    """Standard normal latents ``(n, z_dim)``, the same on every device."""
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(mix(seed)))


class Randomness:
    """Seeds torch's default generators, and gives back the state that they had.

    Whatever draws from them, such as dropout and users' own modules, follows from the seed too, and from the rank.
    Latents, penalties and augmentations draw for the whole batch: see :mod:`poise.parallel.batch`.

    Args:
        seed: of the run.
        world: the processes.
        device: where the networks are.
    """

    def __init__(self, seed: int, world: World, device: torch.device) -> None:
        self._seed, self._world = seed, world
        self._common = torch.Generator(device)
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or 0])

    @contextmanager
    def stretch(self, *numbers: int) -> Iterator[None]:
        """A stretch of randomness named by ``numbers``; on exit the default generators are as they were."""
        states = [generator.get_state() for generator in self._generators]
        try:
            for generator in self._generators:
                generator.manual_seed(mix(self._seed, self._world.rank, *numbers))
            yield
        finally:
            for generator, state in zip(self._generators, states, strict=True):
                generator.set_state(state)

    @contextmanager
    def stretch_everywhere(self, *numbers: int) -> Iterator[None]:
        """:meth:`stretch`, of Python's and NumPy's generators too, which transforms of samples may draw from."""
        of_python, of_numpy = random.getstate(), np.random.get_state()
        seed = mix(self._seed, self._world.rank, *numbers)
        try:
            random.seed(seed)
            np.random.seed(seed % (1 << 32))
            with self.stretch(*numbers):
                yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)

    def over_batch(self, rows: int, *numbers: int) -> AbstractContextManager[None]:
        """Let the batch be spread over the processes, and what is drawn for it be named by ``numbers``.

        Args:
            rows: samples of the batch in this process.
            numbers: the name. A single process draws from the default generators, whose stretches have names; without a
                name all processes do, so that it is for their caller to seed them alike.
        """
        if self._world.size == 1:
            return nullcontext()
        if not numbers:
            return batch.spread_over(self._world, self._generators[-1], rows)
        self._common.manual_seed(mix(self._seed, 0, *numbers))
        return batch.spread_over(self._world, self._common, rows)
