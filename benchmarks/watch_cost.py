"""What share of a training's time the watch takes.

Each case is a training as `poise train` does it, with the watch saying what goes wrong and doing nothing about it; the
time inside its calls is added up, and divided by that of the whole training after the first measurement, which loads
and counts what the later ones use. As both are of one training, a busy machine slows them alike.

    python benchmarks/watch_cost.py [--steps 2000] [--json watch_cost.json]

Exits 1 when a share is above 2 %.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import about
from poise.data import load
from poise.files import write_atomic
from poise.recipes import resolve
from poise.runs import Run
from poise.session import Session

LIMIT = 0.02

CASES = {
    "digits, its default recipe": ("digits", None, ()),
    "digits, WGAN-GP": ("digits", "wgan-gp", ()),
    "ring8, its default recipe": ("ring8", None, ()),
    "ring8, vanilla": ("ring8", "vanilla", ()),
}


class Clock:
    """Adds up the time inside calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, with its time added up."""

        def timed(*given: Any) -> Any:
            t0 = time.perf_counter()
            try:
                return call(*given)
            finally:
                self.seconds += time.perf_counter() - t0

        return timed


def share(data: str, recipe: str | None, assignments: tuple[str, ...], steps: int) -> dict[str, float]:
    prepared = load(data)
    config = resolve(prepared, recipe, {"steps": steps}, ("watch=warn", *assignments))
    with tempfile.TemporaryDirectory() as directory:
        session = Session(config, prepared, Run(Path(directory) / "r"), device="cpu")
        clock, watch = Clock(), session._watch
        assert watch is not None
        start = watch.start
        began: list[float] = []

        def first(trainer: Any) -> None:
            start(trainer)
            began.append(time.perf_counter())

        watch.start = first
        for name in ("log", "metrics", "after_step"):
            setattr(watch, name, clock.timed(getattr(watch, name)))
        session.train()
        seconds = time.perf_counter() - began[0]
    return {"watch_seconds": clock.seconds, "seconds": seconds, "share": clock.seconds / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"about": about(), "steps": arguments.steps, "cases": {}}
    print("| training | steps | seconds | of these in the watch |")
    print("|---|---:|---:|---:|")
    for name, case in CASES.items():
        found = results["cases"][name] = share(*case, arguments.steps)
        print(f"| {name} | {arguments.steps:,} | {found['seconds']:.1f} | {found['share']:.2%} |", flush=True)
    if arguments.json is not None:
        write_atomic(arguments.json, json.dumps(results, indent=1) + "\n")
    raise SystemExit(1 if any(it["share"] > LIMIT for it in results["cases"].values()) else 0)


if __name__ == "__main__":
    main()
