"""What a check happens in: gradients on, and randomness of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from poise.parallel import World
from poise.trainer.randomness import Randomness

__all__ = ["seeded"]

_CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int = 0, device: torch.device = _CPU) -> Iterator[None]:
    """Switch gradients on and seed torch's default generators; afterwards all is as it was.

    Args:
        seed: of the generators.
        device: the generator of which is seeded beside that of the CPU.
    """
    with torch.inference_mode(False), torch.enable_grad(), Randomness(seed, World(), device).stretch(0):
        yield
