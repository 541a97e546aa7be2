"""The roofline: how fast a step could be if this machine did nothing but its arithmetic, at its own best rates."""

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from plain import Step

__all__ = ["Flops", "Rates", "flops_of", "rates_of"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Flops(NamedTuple):
    """Floating-point operations, a multiplication and an addition counted as two."""

    products: float
    convolutions: float


class Rates(NamedTuple):
    """What the machine reaches on large operands, in floating-point operations a second."""

    products: float
    convolutions: float

    def seconds(self, flops: Flops) -> float:
        """The least time that the operations take at these rates."""
        return flops.products / self.products + flops.convolutions / self.convolutions


class _Counter(TorchDispatchMode):
    """Adds up operations by PyTorch's own formulas.

    PyTorch's FlopCounterMode does so too, but looks after modules with hooks that ``autograd.grad`` refuses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[object] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        operation = function.overloadpacket
        if operation in flop_registry:
            self.counts[operation] += flop_registry[operation](*args, **(kwargs or {}), out_val=result)
        return result


def flops_of(step: Step, steps: int = 1) -> Flops:
    """The mean operations of a step, as PyTorch counts them: matrix products and convolutions, and nothing else."""
    with _Counter() as counter:
        for _ in range(steps):
            step()
    convolutions = sum(count for operation, count in counter.counts.items() if "convolution" in str(operation))
    return Flops((counter.counts.total() - convolutions) / steps, convolutions / steps)


@torch.no_grad()
def rates_of(precision: str, device: str, repeats: int = 8) -> Rates:
    """The best rates of a matrix product and of a 3 x 3 convolution in ``fp32`` or ``bf16``, of so many repeats."""
    options = {"dtype": _DTYPES[precision], "device": device}
    n, batch, channels, side = (2048, 64, 128, 32) if device == "cpu" else (8192, 256, 512, 32)
    a, b = torch.randn(n, n, **options), torch.randn(n, n, **options)
    images = torch.randn(batch, channels, side, side, **options).to(memory_format=torch.channels_last)
    kernels = torch.randn(channels, channels, 3, 3, **options).to(memory_format=torch.channels_last)
    return Rates(
        products=2 * n**3 / _least_seconds(lambda: a @ b, device, repeats),
        # Counted as PyTorch counts a step's: as if the border were not padding.
        convolutions=2
        * batch
        * side**2
        * channels**2
        * 9
        / _least_seconds(lambda: conv2d(images, kernels, padding=1), device, repeats),
    )


def _least_seconds(operation: Callable[[], object], device: str, repeats: int) -> float:
    least = float("inf")
    for _ in range(repeats + 1):  # the first is slow, and never the least
        t0 = time.perf_counter()
        operation()
        if device != "cpu":
            torch.cuda.synchronize()
        least = min(least, time.perf_counter() - t0)
    return least
