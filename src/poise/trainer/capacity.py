"""The largest batch that fits in memory."""

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from poise.errors import DeviceError
from poise.trainer.trainer import Trainer

__all__ = ["LARGEST_BATCH", "largest_batch"]

LARGEST_BATCH = 1024

_MEMINFO = Path("/proc/meminfo")
# What else is going to want memory: evaluations, pictures, other programs.
_SHARE = 0.8


def largest_batch(make: Callable[[], Trainer], shape: Sequence[int], limit: int = LARGEST_BATCH) -> int:
    """The largest power of two of samples with which a step fits in four fifths of the memory that is free now.

    Steps on noise are tried, with twice as many samples each time, until one runs out of memory (CUDA) or the next
    one would (CPU; what the last doubling took, twice). Networks that grow are tried at their full size.

    Args:
        make: makes the trainer; what it trains is thrown away.
        shape: of a sample.
        limit: at most so many.

    Raises:
        DeviceError: when not even 1 fits, or the system does not say how much memory is free.
    """
    trainer = make()
    trainer.nimg = 10**15  # what changes with progress is at its end
    tried = _on_cuda if trainer.device.type == "cuda" else _on_cpu
    best = 0
    for count in (1 << power for power in range(limit.bit_length())):
        if count > limit or not tried(trainer, torch.rand(count, *shape) * 2 - 1):
            break
        best = count
    if not best:
        raise DeviceError("not even a batch of 1 fits in memory: take a smaller size, or narrower networks")
    return best


def _on_cuda(trainer: Trainer, real: torch.Tensor) -> bool:
    torch.cuda.reset_peak_memory_stats(trainer.device)
    try:
        trainer.step(real)
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(trainer.device)
    held = torch.cuda.memory_allocated(trainer.device)
    return torch.cuda.max_memory_allocated(trainer.device) <= _SHARE * (free + held)


def _on_cpu(trainer: Trainer, real: torch.Tensor) -> bool:
    before, free = _peak_bytes(), _free_bytes()
    trainer.step(real)
    return 2 * (_peak_bytes() - before) <= _SHARE * free


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _free_bytes() -> int:
    if not _MEMINFO.exists():
        raise DeviceError("this system does not say how much memory is free: give --batch a number")
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
    return 1024 * int(fields["MemAvailable"].split()[0])
