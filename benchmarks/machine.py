"""The machine that a benchmark runs on, what else runs there, and what is installed."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

import poise

__all__ = ["Others", "about"]

_ROOT = Path(__file__).resolve().parent.parent
_STAT = Path("/proc/stat")


def about(device: str = "cpu") -> dict[str, object]:
    """Machine, versions and commit, as JSON values."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": None if device == "cpu" else torch.cuda.get_device_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "pillow": version("pillow"),
        "poise": poise.__version__,
        "commit": _commit(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """The commit, with ``+`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class Others:
    """How many cores other processes kept busy since this was made; always None where Linux is not there to ask."""

    def __init__(self) -> None:
        self._t0, self._busy, self._own = time.perf_counter(), _busy_seconds(), time.process_time()

    def cores(self) -> float | None:
        """The mean since then. Linux counts in hundredths of a second, so it wants a second or so."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        own = time.process_time() - self._own
        return max(busy - self._busy - own, 0.0) / (time.perf_counter() - self._t0)


def _busy_seconds() -> float | None:
    """What all cores have worked since the start of the system, or were kept from it by other virtual machines."""
    if sys.platform != "linux":
        return None
    # The first line, see proc(5): cpu, then user, nice, system, idle, iowait, irq, softirq, steal, ....
    counts = [int(field) for field in _STAT.read_text().partition("\n")[0].split()[1:9]]
    return (sum(counts) - counts[3] - counts[4]) / os.sysconf("SC_CLK_TCK")
