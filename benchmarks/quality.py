"""How good trainings become by the commands that a person would give: several seeds a row, beside published figures.

Each row is a `poise train` and a `poise evaluate` in processes of their own, for each seed; digits and MNIST also have
a DCGAN loop written by hand that trains as long. The JSON file is written after each training, and what is in it
already is not trained again, so that a long benchmark can be stopped and go on.

    python benchmarks/quality.py [--rows ring8,grid25] [--seeds 5] [--mnist FOLDER] [--json quality.json]
                                 [--markdown quality.md]

Exits 1 when a row misses its target, 2 on bad input.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

import plain
from machine import about
from poise.config import EvaluateConfig
from poise.data import Batches, load
from poise.files import write_atomic
from poise.models import dcgan_discriminator, dcgan_generator
from poise.session import Evaluation

Numbers = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A training that is repeated with several seeds.

    Attributes:
        what: in words.
        data: what `poise train` is given.
        train: more of its arguments.
        metrics: what `poise evaluate` measures.
        samples: how many it measures.
        targets: bounds that every seed must keep, by the names of numbers: ``>= 8`` and the like.
        published: what others report, a line each.
        by_hand: whether a DCGAN loop written by hand is trained as long, and compared with.
    """

    what: str
    data: str
    train: Sequence[str]
    metrics: str
    samples: int
    targets: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[str] = ()
    by_hand: bool = False


def rows(mnist: Path | None) -> dict[str, Row]:
    found = {
        "ring8": Row(
            "a ring of 8 Gaussians",
            "ring8",
            ("--kimg", "7680"),
            "modes",
            2500,
            {"modes": ">= 8", "high_quality": ">= 0.96", "modes_kl": "<= 0.01", "seconds": "<= 180"},
            (
                "GAN: 6.3 modes, 98.2 %, KL 0.45 (Lin et al. 2017, PacGAN, arXiv 1712.04086, table 1)",
                "PacGAN2: 7.9 modes, 95.6 %, KL 0.07 (the same)",
            ),
        ),
        "grid25": Row(
            "a grid of 25 Gaussians",
            "grid25",
            (),
            "modes",
            2500,
            {"modes": ">= 25", "high_quality": ">= 0.95", "modes_kl": "<= 0.01", "seconds": "<= 300"},
            (
                "GAN: 17.3 modes, 94.8 %, KL 0.70 (Lin et al. 2017, PacGAN, arXiv 1712.04086, table 1)",
                "ALI: 24.1 modes, 95.7 %, KL 0.14 (the same)",
                "PacGAN4: 24.8 modes, 93.6 %, KL 0.04 (the same)",
            ),
        ),
        "grid25-long": Row(
            "the same for three times as long",
            "grid25",
            ("--kimg", "46080"),
            "modes",
            2500,
            {"modes": ">= 25", "high_quality": ">= 0.975", "modes_kl": "<= 0.01", "seconds": "<= 900"},
        ),
        "digits": Row("handwritten digits of 8 x 8", "digits", (), "kid,fid", 1797, by_hand=True),
    }
    if mnist is not None:
        found["mnist"] = Row("MNIST at 32 x 32", str(mnist), ("--kimg", "300"), "kid,fid", 5000, by_hand=True)
    return found


def command(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "poise", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"poise {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def train(row: Row, seed: int) -> Numbers:
    """One training by poise, and what its samples are worth."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        t0 = time.perf_counter()
        command("train", row.data, "--run", "r", "--seed", str(seed), *row.train, cwd=place)
        seconds = time.perf_counter() - t0
        evaluate = ("evaluate", "r", "--metrics", row.metrics, "--samples", str(row.samples), "--seed", "1", "--json")
        found = json.loads(command(*evaluate, "--checkpoint", "last", cwd=place))
    return {"seconds": seconds} | {key: it for key, it in found.items() if isinstance(it, float | int)}


def train_by_hand(row: Row, seed: int, seconds: float) -> Numbers:
    """A DCGAN loop as people write it, for as long, on the same data and measured in the same way."""
    data = load(row.data)
    torch.manual_seed(seed)
    generator, discriminator = dcgan_generator(64, data.shape), dcgan_discriminator(data.shape)
    batches = Batches(data, 64, seed=seed)
    step = plain.dcgan(
        plain.Game(
            generator,
            discriminator,
            map(batches.batch, count()),
            partial(torch.randn, 64, 64),
            partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999)),
        )
    )
    t0 = time.perf_counter()
    while time.perf_counter() - t0 < seconds:
        step()
    generator.eval()
    config = EvaluateConfig(metrics=tuple(row.metrics.split(",")), samples=row.samples)
    with torch.no_grad():
        samples = torch.cat([generator(z) for z in torch.randn(row.samples, 64).split(256)])
    found = Evaluation(data, config, torch.device("cpu"), seed=1).score(samples)
    return {"seconds": seconds} | {key: it for key, it in found.items() if isinstance(it, float | int)}


# Tables.


def keeps(value: float, bound: str) -> bool:
    sign, limit = bound.split()
    return value >= float(limit) if sign == ">=" else value <= float(limit)


def worst(name: str, values: Sequence[float], row: Row) -> float:
    return min(values) if row.targets.get(name, "<=").startswith(">=") else max(values)


_SHOWN = ("modes", "high_quality", "modes_kl", "kid", "fid", "seconds")


def table(name: str, row: Row, results: Mapping[str, Mapping[str, Numbers]]) -> list[str]:
    seeds = [results[key] for key in sorted(results)]
    lines = [
        f"### {name}: {row.what}, {len(seeds)} seeds",
        "",
        "| number | mean | worst | target |",
        "|---|---:|---:|---|",
    ]
    for number in _SHOWN:
        values = [it["poise"][number] for it in seeds if number in it["poise"]]
        if not values:
            continue
        bound = row.targets.get(number, "")
        lines.append(f"| {number} | {statistics.mean(values):.4g} | {worst(number, values, row):.4g} | {bound} |")
        beside = [it["by hand"][number] for it in seeds if "by hand" in it and number in it["by hand"]]
        if beside:
            lines.append(f"| {number}, DCGAN by hand | {statistics.mean(beside):.4g} | {max(beside):.4g} | |")
    return [*lines, "", *(f"- {line}" for line in row.published), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="such as ring8,grid25; all if left out")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mnist", type=Path, help="MNIST as a folder or archive of class folders")
    parser.add_argument("--json", type=Path, default=Path("quality.json"))
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    arguments = parser.parse_args()
    there = rows(None if arguments.mnist is None else arguments.mnist.resolve())
    names = list(there) if arguments.rows is None else arguments.rows.split(",")
    unknown = [name for name in names if name not in there]
    if unknown:
        parser.error(f"'{unknown[0]}' is none of {', '.join(there)}; mnist needs --mnist")
    results: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    results["about"] = about()
    missed = False
    lines: list[str] = []
    for name in names:
        row, found = there[name], results.setdefault("rows", {}).setdefault(name, {})
        for seed in range(arguments.seeds):
            numbers = found.setdefault(str(seed), {})
            steps: dict[str, Callable[[], Numbers]] = {"poise": partial(train, row, seed)}
            if row.by_hand:
                steps["by hand"] = lambda row=row, seed=seed, numbers=numbers: train_by_hand(
                    row, seed, numbers["poise"]["seconds"]
                )
            for way, work in steps.items():
                if way not in numbers:
                    numbers[way] = work()
                    write_atomic(arguments.json, json.dumps(results, indent=1) + "\n")
                print(
                    name,
                    seed,
                    way,
                    {key: round(it, 4) for key, it in numbers[way].items() if key in _SHOWN},
                    flush=True,
                )
            missed |= not all(keeps(numbers["poise"][number], bound) for number, bound in row.targets.items())
        lines += table(name, row, found)
    print("\n".join(lines))
    if arguments.markdown is not None:
        write_atomic(arguments.markdown, "\n".join(lines) + "\n")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
