"""How long ``poise train digits`` takes to its first step, once Python has compiled what it loads.

Runs the real command in new processes, each in an empty directory, with a log row at every step; the first row says
that step 1 is done, and then the process is killed. Prints the wall-clock time and the CPU time to that moment beside
those of ``import torch`` alone, as medians over rounds; exits 1 when the wall-clock time is above the limit. On a
machine that does other work too, the CPU time (over all threads) is what repeats.

    python benchmarks/start.py [--rounds 7] [--json start.json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import about

LIMIT_SECONDS = 4.0
POLL_SECONDS = 0.002
PATIENCE_SECONDS = 120.0

TRAIN = ("-m", "poise", "train", "digits", "--run", "run", "--set", "log.every_steps=1")
IMPORT_TORCH = ("-c", "import torch")


def seconds_until(arguments: tuple[str, ...], sign: str | None) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a Python process until the file ``sign`` has content, or else until it ends."""
    with tempfile.TemporaryDirectory() as directory:
        t0 = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], cwd=directory, stdout=subprocess.DEVNULL)
        if sign is not None:
            path = Path(directory, sign)
            while not (path.exists() and path.stat().st_size):
                if process.poll() is not None or time.perf_counter() - t0 > PATIENCE_SECONDS:
                    raise SystemExit(f"{' '.join(arguments)}: no first step")
                time.sleep(POLL_SECONDS)
            wall = time.perf_counter() - t0
            process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if sign is None:
            wall = time.perf_counter() - t0
        return wall, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cases = {"import torch": (IMPORT_TORCH, None), "first step of poise train digits": (TRAIN, "run/log.jsonl")}
    for case in cases.values():  # compiles what it loads
        seconds_until(*case)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, case in cases.items():
            seconds[name].append(seconds_until(*case))
    results = {
        name: {
            "wall_seconds": statistics.median(wall for wall, _ in row),
            "least_wall_seconds": min(wall for wall, _ in row),
            "cpu_seconds": statistics.median(cpu for _, cpu in row),
        }
        for name, row in seconds.items()
    }
    print(f"{'case':<34}{'wall':>8}{'least':>8}{'CPU':>8}   seconds (limit {LIMIT_SECONDS:g} of wall-clock time)")
    for name, row in results.items():
        print(f"{name:<34}" + "".join(f"{value:>8.2f}" for value in row.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about(), "seconds": results}, indent=2) + "\n")
    is_met = results["first step of poise train digits"]["wall_seconds"] <= LIMIT_SECONDS
    print(f"the limit is {'met' if is_met else 'not met'}")
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
