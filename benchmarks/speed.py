"""How long a step of poise takes beside the loop that people write by hand, in every mode and precision.

All trainings of a case run in turns in one process: each round gives every one of them some steps, and begins with
another one. Ratios are taken within a round, and medians over the rounds in which other processes let the cores alone.
Before anything is timed, each training is checked to be the same as the plain loop's: see ``parity.py``. Peak memory is
measured in processes of their own: see ``memory.py``. The roofline is the time that a step's matrix products and
convolutions would take at this machine's best rates, over the time that the step took; the operations are the plain
loop's, so that work which is saved counts as done.

    python benchmarks/speed.py [--cases a,b] [--rounds 15] [--device cpu] [--json speed.json] [--markdown speed.md]

Exits 1 when some training is not the same, 2 on bad input.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backends import restore, settings
from cases import CASES, Case
from machine import Others, about
from memory import MeasurementError, peak_bytes
from parity import STEPS, TOLERANCES, DifferentTrainingError, Reference, check_maths
from poise.errors import PoiseError
from roofline import Flops, Rates, flops_of, rates_of
from tables import case as case_table
from tables import head
from variants import EXECUTIONS, PLAIN, PRECISIONS, Loop, Variant, variants_of

# A round is quiet when other processes kept less than this many cores busy.
QUIET_CORES = 0.1
LEAST_QUIET_ROUNDS = 3


def choices(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads some of the allowed words, separated by commas."""

    def read(given: str) -> tuple[str, ...]:
        words = tuple(given.split(","))
        unknown = [word for word in words if word not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(allowed)}")
        return words

    return read


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=choices(tuple(CASES)), default=tuple(CASES), help="such as a,b,d")
    parser.add_argument("--executions", type=choices(EXECUTIONS), default=EXECUTIONS, help="such as eager,compile")
    parser.add_argument("--precisions", type=choices(tuple(PRECISIONS)), default=tuple(PRECISIONS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="of PyTorch; %(default)s if not given"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5, help="that a training gets in a round, if a step is less")
    parser.add_argument("--quick", action="store_true", help="three short rounds, no memory: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 3, 0.02
    if arguments.rounds < 2:
        parser.error(f"--rounds is {arguments.rounds}; quartiles need at least 2")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch finds no GPU; leave it out for the CPU")
    return arguments


class Timed:
    """A training that is timed in turns with others.

    Args:
        variant: how it trains.
        loop: it.

    Attributes:
        seconds: the time of a step in each round.
    """

    def __init__(self, variant: Variant, loop: Loop) -> None:
        self.variant = variant
        self.seconds: list[float] = []
        self._loop = loop
        self._settings = settings()

    def take(self, steps: int, device: str) -> float:
        """Do some steps and a tick; return the seconds that each took."""
        restore(self._settings)
        wait_for(device)
        t0 = time.perf_counter()
        for _ in range(steps):
            self._loop.step()
        self._loop.tick()
        wait_for(device)
        return (time.perf_counter() - t0) / steps


def wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def started(
    variant: Variant, reals: list[Tensor], reference: Reference, row: dict[str, Any], notes: list[str]
) -> Timed | None:
    """A training after its first steps; None with the reason in its row if it is refused or not the same."""
    initial = settings()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop = variant.start(reals)
            if variant.same_training:
                row["apart"] = reference.check(variant, loop, TOLERANCES[variant.precision])
            else:
                for _ in range(STEPS):
                    loop.step()
        told = [it for it in caught if not issubclass(it.category, DeprecationWarning | FutureWarning)]
        notes.extend(dict.fromkeys(f"{row['name']}: {it.message}" for it in told))
        return Timed(variant, loop)
    except PoiseError as error:
        row["skipped"] = str(error)
    except DifferentTrainingError as error:
        row["skipped"] = row["failed"] = str(error)
    finally:
        restore(initial)
    return None


def run_rounds(timed: list[Timed], rounds: int, steps: int, device: str) -> list[float | None]:
    """Time everything in turns; return how many cores others kept busy in each round."""
    others = []
    for number in range(rounds):
        watch = Others()
        first = number % len(timed)
        for it in timed[first:] + timed[:first]:
            it.seconds.append(it.take(steps, device))
        others.append(watch.cores())
    return others


def quiet_rounds(others: Sequence[float | None]) -> list[int] | None:
    """The rounds in which others were quiet; None if these are too few to tell anything."""
    quiet = [number for number, cores in enumerate(others) if cores is None or cores < QUIET_CORES]
    return quiet if len(quiet) >= LEAST_QUIET_ROUNDS else None


def spread(values: Sequence[float]) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive")


def measure(letter: str, arguments: argparse.Namespace, rates: dict[str, Rates]) -> dict[str, Any]:
    """Everything about one case, as JSON values."""
    case, device = CASES[letter], arguments.device
    variants = variants_of(case, arguments.executions, arguments.precisions)
    rows = {name: {"name": name, "precision": variant.precision} for name, variant in variants.items()}
    result: dict[str, Any] = {"case": letter, "what": case.what, "notes": [], "rows": list(rows.values())}
    initial = settings()
    try:
        check_maths(case, device)
    except DifferentTrainingError as error:
        result["failed"] = str(error)
    reals = case.reals(device)
    reference = Reference(case, reals)
    restore(initial)  # whatever poise chose for itself meanwhile
    flops = flops_of_plain(case, variants[PLAIN], reals)
    result["gflop_a_step"] = sum(flops) / 1e9
    timed: dict[str, Timed] = {}
    for name, variant in variants.items():
        it = started(variant, reals, reference, rows[name], result["notes"])
        if it is not None:
            timed[name] = it
    seconds = min(timed[PLAIN].take(STEPS, device) for _ in range(2))
    result["steps_a_round"] = steps = max(1, round(arguments.seconds / seconds))
    others = run_rounds(list(timed.values()), arguments.rounds, steps, device)
    quiet = quiet_rounds(others)
    if quiet is None:
        quiet = list(range(len(others)))
        result["notes"].append("other processes were busy in nearly all rounds: these are medians over all, and rough")
    result["rounds"], result["taken_rounds"], result["others_cores"] = len(others), len(quiet), others
    kept = {name: [it.seconds[number] for number in quiet] for name, it in timed.items()}
    for name, all_seconds in kept.items():
        ratios = [plain / mine for plain, mine in zip(kept[PLAIN], all_seconds, strict=True)]
        rows[name] |= {"ms": [1e3 * it for it in spread(all_seconds)], "ratio": spread(ratios)}
        precision = variants[name].precision
        rows[name]["roofline"] = rates[precision].seconds(flops) / statistics.median(all_seconds)
        inlined = f"inlined {precision}"
        if inlined in kept and name.startswith("poise"):
            over = [mine / theirs - 1 for mine, theirs in zip(all_seconds, kept[inlined], strict=True)]
            rows[name]["over_inlined"] = spread(over)
        if not arguments.quick:
            try:
                rows[name]["peak_bytes"] = peak_bytes(letter, name, device, arguments.threads)
            except MeasurementError as error:
                result["notes"].append(str(error))
    return result


def flops_of_plain(case: Case, plain: Variant, reals: list[Tensor]) -> Flops:
    """The plain loop's operations a step; the mean of some steps where they are not all alike."""
    return flops_of(plain.start(reals).step, steps=12 if case.peeks > 1 else 1)


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    rates = {precision: rates_of(precision, arguments.device) for precision in PRECISIONS}
    report: dict[str, Any] = {
        "about": about(arguments.device),
        "gflop_per_s": {name: {kind: it / 1e9 for kind, it in rate._asdict().items()} for name, rate in rates.items()},
        "cases": [],
    }
    print(head(report), flush=True)
    for letter in arguments.cases:
        report["cases"].append(measure(letter, arguments, rates))
        print("\n" + case_table(report["cases"][-1]), flush=True)
        # After each case: an interrupted run keeps what it has.
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
        if arguments.markdown:
            arguments.markdown.write_text("\n\n".join([head(report), *map(case_table, report["cases"])]) + "\n")
    failures = [it for result in report["cases"] for it in (result, *result["rows"]) if "failed" in it]
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
