"""The peak memory of a training: what it takes beyond its libraries and its data.

On the CPU this is the process's resident memory, which no other training may share: :func:`peak_bytes` starts a process
of its own, in which this module is the program. On a GPU it is what PyTorch's allocator handed out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from cases import CASES
from variants import variants_of

__all__ = ["MeasurementError", "peak_bytes"]

# The first steps make the optimizers' state and choose kernels; by the third nothing new is allocated.
STEPS = 3


class MeasurementError(RuntimeError):
    """The process that measures did not finish."""


def peak_bytes(case: str, variant: str, device: str, threads: int) -> int:
    """The peak memory of a few steps of a variant, measured in a process of its own.

    Raises:
        MeasurementError: when that process failed; with the last line that it wrote.
    """
    command = [sys.executable, __file__, case, variant, "--device", device, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MeasurementError(f"the process that measures the memory of {variant} on ({case}) failed: {last}")
    return int(json.loads(done.stdout.splitlines()[-1]))


class _Resident:
    """The peak of this process's resident memory since now, as Linux counts it.

    Not ``getrusage``'s, which a process inherits from the one that started it.
    """

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # let the peak begin anew: see proc(5)
        self._before = self._peak()

    @staticmethod
    def _peak() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(kibibytes) * 1024

    def bytes(self) -> int:
        return self._peak() - self._before


class _Allocated:
    """The peak of what PyTorch's allocator handed out on the GPU since now."""

    def __init__(self) -> None:
        torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated()

    def bytes(self) -> int:
        return torch.cuda.max_memory_allocated() - self._before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("variant")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    case = CASES[arguments.case]
    variant = variants_of(case)[arguments.variant]
    # The values do not matter here, and a generator that made them would leave memory behind.
    reals = [torch.rand(case.batch, *case.shape, device=arguments.device) * 2 - 1 for _ in range(2)]
    peak = _Resident() if arguments.device == "cpu" else _Allocated()
    loop = variant.start(reals)
    for _ in range(STEPS):
        loop.step()
    loop.tick()
    print(json.dumps(peak.bytes()))


if __name__ == "__main__":
    main()
