"""How good trainings become by the commands that a person would give: several seeds a row, beside published figures.

Each row is a `poise train` in a process of its own for each seed, and then a `poise evaluate` of its best checkpoint,
or a measure of the row's own. Digits and MNIST also have a DCGAN loop written by hand that trains as long.

The JSON file is written after each training, and what is in it already is not trained again. The runs stay in their
folder, and one that was cut off goes on where it was, so that a long benchmark can be stopped at any time.

    python benchmarks/quality.py [--rows ring8,grid25] [--seeds 5] [--mnist FILE] [--cifar10 FILE]
                                 [--runs quality-runs] [--json quality.json] [--markdown quality.md]

Exits 1 when a row misses its target, 2 on bad input.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import plain
import stacked
from machine import about
from poise.config import EvaluateConfig
from poise.data import Batches, load
from poise.data.cache import cache_directory
from poise.files import write_atomic
from poise.models import dcgan_discriminator, dcgan_generator
from poise.runs import Run, number
from poise.session import Evaluation, Sampler

Numbers = dict[str, float]
Judge = Callable[[NDArray[np.uint8]], Numbers]

_SEED = 1
"""Of the latents that are judged: others than those that the training chose its best checkpoint by."""


@dataclass(frozen=True)
class Row:
    """A training that is repeated with several seeds.

    Attributes:
        what: in words.
        data: what `poise train` is given.
        train: more of its arguments.
        metrics: what `poise evaluate` measures.
        samples: how many are measured.
        size: the side of images, in pixels, where it is not the data's own.
        prepare: makes the data, where it is not there yet.
        judge: measures samples as files have them, of the last checkpoint, where `poise evaluate` cannot.
        targets: bounds that every seed must keep, by the names of numbers: ``>= 8`` and the like.
        published: what others report, a line each.
        by_hand: whether a DCGAN loop written by hand is trained as long: its mean KID and FID shall be twice as large.
    """

    what: str
    data: str
    train: Sequence[str]
    metrics: str
    samples: int
    size: int | None = None
    prepare: Callable[[], object] | None = None
    judge: Judge | None = None
    targets: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[str] = ()
    by_hand: bool = False


_PACGAN = "Lin et al. 2017, PacGAN, arXiv 1712.04086, table 1"

_STACKED_IMAGES = 100_000
_STACKED_ADAM = (("lr", "{class: cosine, from: 2e-3, to: 2e-5}"), ("betas", "[0, 0.99]"))
_STACKED = (
    *("--recipe", "relativistic", "--set", "discriminator.width=48"),
    *(it for name, value in _STACKED_ADAM for player in "gd" for it in ("--set", f"{player}_optimizer.{name}={value}")),
    # Images without labels are compared pixel by pixel, which says nothing here: the last checkpoint is judged.
    *("--set", "evaluate.every_kimg=1000"),
)


def _stacked(kimg: int, width: int, gamma: str) -> Sequence[str]:
    """What stacked MNIST is trained with, for so long, by a generator of this width and this weight of R1 and R2."""
    penalties = (f"penalties.{name}={{weight: {gamma}, every: 2}}" for name in ("r1", "r2"))
    given = (f"generator.width={width}", *penalties)
    return ("--kimg", str(kimg), *(part for it in given for part in ("--set", it)), *_STACKED)


def vectors() -> dict[str, Row]:
    """The rows on points in the plane."""
    return {
        "ring8": Row(
            "a ring of 8 Gaussians",
            "ring8",
            (),
            "modes",
            2500,
            targets={"modes": ">= 8", "high_quality": ">= 0.96", "modes_kl": "<= 0.01", "seconds": "<= 180"},
            published=(
                f"GAN: 6.3 modes, 98.2 %, KL 0.45 ({_PACGAN})",
                "PacGAN2: 7.9 modes, 95.6 %, KL 0.07 (the same)",
            ),
        ),
        "grid25": Row(
            "a grid of 25 Gaussians",
            "grid25",
            (),
            "modes",
            2500,
            targets={"modes": ">= 25", "high_quality": ">= 0.95", "modes_kl": "<= 0.01", "seconds": "<= 300"},
            published=(
                f"GAN: 17.3 modes, 94.8 %, KL 0.70 ({_PACGAN})",
                "ALI: 24.1 modes, 95.7 %, KL 0.14 (the same)",
                "PacGAN4: 24.8 modes, 93.6 %, KL 0.04 (the same)",
            ),
        ),
        "grid25-long": Row(
            "the same for three times as long",
            "grid25",
            ("--kimg", "23040"),
            "modes",
            2500,
            targets={"modes": ">= 25", "high_quality": ">= 0.975", "modes_kl": "<= 0.01", "seconds": "<= 900"},
        ),
    }


def rows(mnist: Path | None, cifar10: Path | None, made: Path) -> dict[str, Row]:
    """All rows, by their names.

    Args:
        mnist: MNIST, for those that need it.
        cifar10: likewise.
        made: the folder for data that is made of others'.
    """
    found = vectors()
    found["digits"] = Row("digits of 8 x 8", "digits", (), "kid,fid", 1797, by_hand=True)
    found["digits-long"] = replace(
        found["digits"], what="the same for more than twice as long", train=("--kimg", "400")
    )
    found["digits-conditional"] = replace(
        found["digits"], what="the same by networks that know the classes", train=("--kimg", "400", "--conditional")
    )
    if mnist is not None:
        # The default for 32 x 32, r3gan, takes twice the time for an image.
        plain_networks = ("--recipe", "thumbnails", "--kimg", "150")
        found["mnist"] = Row("MNIST at 32 x 32", str(mnist), plain_networks, "kid,fid", 5000, size=32, by_hand=True)
        found["stacked-mnist"] = stacked_mnist(mnist, made)
        found["stacked-mnist-long"] = replace(
            found["stacked-mnist"],
            what="the same for twice as long, with a wider generator and penalties that do not fall",
            train=_stacked(1200, 64, "2"),
            targets={"modes": ">= 1000", "modes_kl": "<= 0.04", "seconds": "<= 5400"},
        )
    if cifar10 is not None:
        found["cifar10"] = Row("CIFAR-10, unconditional", str(cifar10), ("--kimg", "320"), "kid,fid", 10_000)
    return found


def stacked_mnist(mnist: Path, made: Path) -> Row:
    """The row of 1,000 modes; its data and its classifier are made when they are first needed."""
    path, load_digits = made / "stacked-mnist.npy", partial(load, str(mnist), size=32)
    return Row(
        "three MNIST digits in one image, 1,000 modes",
        str(path),
        _stacked(600, 48, "{class: cosine, from: 1, to: 0.05}"),
        "",
        26_000,
        prepare=lambda: stacked.stack(load_digits(), _STACKED_IMAGES, path),
        judge=lambda images: stacked.modes_reached(images, stacked.reader(load_digits(), made / "reader.safetensors")),
        targets={"modes": ">= 1000", "modes_kl": "<= 0.055", "seconds": "<= 1800"},
        published=(
            "DCGAN: 99 modes, KL 3.40; PacGAN: 1,000 modes, KL 0.06 (Lin et al. 2017, PacGAN, arXiv 1712.04086)",
            "WGAN-GP: 959 modes, KL 0.73; StyleGAN2: 940 modes, KL 0.42; R3GAN: 1,000 modes, KL 0.029 (Huang et al. "
            "2024, R3GAN, arXiv 2501.05441)",
        ),
    )


def command(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "poise", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"poise {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def train(row: Row, seed: int, run: Path) -> Numbers:
    """One training by poise, and what its samples are worth."""
    if row.prepare is not None:
        row.prepare()
    before = number(Run(run).last_row().get("seconds"), 0.0)
    t0 = time.perf_counter()
    size = () if row.size is None else ("--size", str(row.size))
    command("train", row.data, "--run", str(run), "--seed", str(seed), *size, *row.train)
    seconds = time.perf_counter() - t0 + before
    command("sample", str(run), "-n", "64", "--grid", str(run.with_suffix(".png")))
    return {"seconds": seconds} | judged(row, run)


def judged(row: Row, run: Path) -> Numbers:
    if row.judge is not None:
        return row.judge(Sampler(Run(run), "cpu", checkpoint="last").sample(row.samples, _SEED))
    evaluate = ("evaluate", str(run), "--metrics", row.metrics, "--samples", str(row.samples), "--seed", str(_SEED))
    return numbers_of(json.loads(command(*evaluate, "--json")))


def numbers_of(found: Mapping[str, Any]) -> Numbers:
    return {key: it for key, it in found.items() if isinstance(it, float | int)}


def train_by_hand(row: Row, seed: int, seconds: float) -> Numbers:
    """A DCGAN loop as people write it, for as long, on the same data and measured in the same way."""
    data = load(row.data, size=row.size)
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
    evaluation = Evaluation(data, config, torch.device("cpu"), seed=_SEED, cache=cache_directory(None))
    return {"seconds": seconds} | numbers_of(evaluation.score(samples))


# Tables.

_SHOWN = ("modes", "high_quality", "modes_kl", "kid", "fid", "seconds")
_COMPARED, _TIMES_AS_GOOD = ("kid", "fid"), 2


def keeps(value: float, bound: str) -> bool:
    sign, limit = bound.split()
    return value >= float(limit) if sign == ">=" else value <= float(limit)


def worst(name: str, values: Sequence[float], row: Row) -> float:
    return min(values) if row.targets.get(name, "<=").startswith(">=") else max(values)


def is_twice_as_good(row: Row, seeds: Sequence[Mapping[str, Numbers]]) -> bool:
    """Whether the loop by hand, where there is one, has twice the mean of poise in each number that is compared."""
    means = (
        tuple(statistics.mean(seed[way][key] for seed in seeds) for way in ("by hand", "poise"))
        for key in _COMPARED
        if row.by_hand
    )
    return all(by_hand >= _TIMES_AS_GOOD * poise for by_hand, poise in means)


def table(name: str, row: Row, results: Mapping[str, Mapping[str, Numbers]]) -> list[str]:
    seeds = [results[key] for key in sorted(results, key=int)]
    lines = [
        f"### {name}: {row.what}, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}",
        "",
        "| number | mean | worst | target |",
        "|---|---:|---:|---|",
    ]
    for key in _SHOWN:
        values = [it["poise"][key] for it in seeds if key in it["poise"]]
        if not values:
            continue
        bound = row.targets.get(key, "")
        lines.append(f"| {key} | {statistics.mean(values):.4g} | {worst(key, values, row):.4g} | {bound} |")
        beside = [it["by hand"][key] for it in seeds if "by hand" in it and key in it["by hand"]]
        if beside:
            bound = f">= {_TIMES_AS_GOOD * statistics.mean(values):.4g}" if key in _COMPARED else ""
            mean, most = statistics.mean(beside), worst(key, beside, row)
            lines.append(f"| {key}, DCGAN by hand | {mean:.4g} | {most:.4g} | {bound} |")
    return [*lines, "", *(f"- {line}" for line in row.published), ""]


def measure(
    there: Mapping[str, Row], seeds: int, runs: Path, path: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train and judge what the JSON file at ``path`` does not have yet; return all that it has then."""
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results["about"] = about()
    for name, row in there.items():
        if results.setdefault("settings", {}).setdefault(name, list(row.train)) != list(row.train):
            raise SystemExit(f"{path} has trainings of {name} with other settings; give another --json and --runs")
        for seed in range(seeds):
            numbers = results.setdefault("rows", {}).setdefault(name, {}).setdefault(str(seed), {})
            ways: dict[str, Callable[[], Numbers]] = {"poise": partial(train, row, seed, runs / f"{name}-{seed}")}
            if row.by_hand:
                ways["by hand"] = lambda row=row, seed=seed, numbers=numbers: train_by_hand(
                    row, seed, numbers["poise"]["seconds"]
                )
            for way, work in ways.items():
                if way not in numbers:
                    numbers[way] = work()
                    write_atomic(path, json.dumps(results, indent=1) + "\n")
                shown = {key: round(it, 4) for key, it in numbers[way].items() if key in _SHOWN}
                say(f"{name} {seed} {way} {shown}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="such as ring8,grid25; all if left out")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mnist", type=Path, help="MNIST as a folder or archive of class folders")
    parser.add_argument("--cifar10", type=Path, help="CIFAR-10, likewise")
    parser.add_argument("--runs", type=Path, default=Path("quality-runs"), help="the folder of the runs")
    parser.add_argument("--json", type=Path, default=Path("quality.json"))
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    arguments = parser.parse_args()
    there = rows(arguments.mnist, arguments.cifar10, arguments.runs / "made")
    names = list(there) if arguments.rows is None else arguments.rows.split(",")
    unknown = [name for name in names if name not in there]
    if unknown:
        parser.error(
            f"'{unknown[0]}' is none of {', '.join(there)}; mnist and stacked-mnist need --mnist, cifar10 --cifar10"
        )
    chosen = {name: there[name] for name in names}
    results = measure(chosen, arguments.seeds, arguments.runs, arguments.json)["rows"]
    text = "\n".join(line for name, row in chosen.items() for line in table(name, row, results[name]))
    print(text)
    if arguments.markdown is not None:
        write_atomic(arguments.markdown, text + "\n")
    kept = [
        keeps(seed["poise"][key], bound)
        for name, row in chosen.items()
        for key, bound in row.targets.items()
        for seed in results[name].values()
    ]
    kept += [is_twice_as_good(row, list(results[name].values())) for name, row in chosen.items()]
    raise SystemExit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
