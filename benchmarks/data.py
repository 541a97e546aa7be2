"""What prepared data costs beside decoding image files: to prepare, in each epoch, and in a step.

Preparation: images a second, from a folder of files to an array in the cache, on all cores and in one thread; of small
PNGs and of large JPEGs. Epochs: images a second that come as batches of 64 from the cache, and from files that Pillow
decodes in each epoch, in this process and in the workers of a DataLoader; all give the same values, which is checked
first. Step: the time until a batch is there, as a share of a whole step of DCGAN at 32 x 32 (width 64, batch 64).

What is compared runs in turns in one process; the numbers are medians over rounds. Exits 1 when the cache is less than
20 times as fast as Pillow, or the wait is above 1 % of a step. Without a folder of images, small PNGs are made.

    python benchmarks/data.py [FOLDER] [--rounds 5] [--json data.json]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from machine import about
from poise.data import Batches, Data, load
from poise.models import dcgan_discriminator, dcgan_generator
from poise.trainer import Trainer, make_fabric

BATCH, SIDE, Z_DIM = 64, 32, 128
SMALL_COUNT, LARGE_COUNT, LARGE_SIDE = 5000, 60, 900
FACTOR_LIMIT, WAIT_LIMIT = 20.0, 0.01

Epoch = Callable[[], Iterable[Tensor]]


def write_pictures(folder: Path, count: int, side: int, suffix: str) -> Path:
    """Blurred noise and a little grain: files of about the size that photographs have."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        grainy = smooth + random.integers(-8, 9, smooth.shape, dtype=np.int16)
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(folder / f"{index:05d}{suffix}", quality=95)
    return folder


class Files(Dataset[Tensor]):
    """Image files as people write it: each is decoded when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE)))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def seconds_of(work: Callable[[], object]) -> float:
    t0 = time.perf_counter()
    work()
    return time.perf_counter() - t0


def in_turns(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each case."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            seconds[name].append(seconds_of(work))
    return {name: statistics.median(row) for name, row in seconds.items()}


def prepare(folder: Path) -> None:
    """Without what an earlier time left."""
    with tempfile.TemporaryDirectory() as cache:
        load(folder, size=SIDE, cache=Path(cache))


def prepare_in_one_thread(folder: Path) -> None:
    def one_by_one(work: Callable[[Any], Any], items: Iterable[Any], light: object) -> Iterator[Any]:
        return map(work, items)

    with mock.patch("poise.data.prepare.in_order", one_by_one):
        prepare(folder)


def preparation(folders: Mapping[str, Path], rounds: int) -> dict[str, dict[str, float]]:
    results = {}
    for name, folder in folders.items():
        files = Files(folder)
        cases = {
            "all cores": lambda folder=folder: prepare(folder),
            "one thread": lambda folder=folder: prepare_in_one_thread(folder),
        }
        seconds = in_turns(cases, rounds)
        results[name] = {
            "images": len(files),
            "mean_kilobytes": statistics.mean(path.stat().st_size for path in files.paths) / 1000,
            **{f"{case}, images a second": len(files) / it for case, it in seconds.items()},
            "factor": seconds["one thread"] / seconds["all cores"],
        }
    return results


def epochs_of(data: Data, folder: Path) -> dict[str, Epoch]:
    """One epoch of the same images each; without a last batch that is not full."""
    batches, files = Batches(data, BATCH), Files(folder)
    order = np.random.default_rng(0).permutation(len(files))
    workers = torch.multiprocessing.cpu_count()

    def cached() -> Iterator[Tensor]:
        with batches.reading() as batch:
            yield from map(batch, range(len(data) // BATCH))

    def decoded() -> Iterator[Tensor]:
        for start in range(0, len(files) - BATCH + 1, BATCH):
            yield torch.stack([files[index] for index in order[start : start + BATCH]])

    return {
        "cached": cached,
        "Pillow": decoded,
        f"Pillow, {workers} workers": lambda: DataLoader(files, BATCH, shuffle=True, num_workers=workers),
    }


def check(data: Data, folder: Path) -> None:
    """Cached samples are those that Pillow decodes."""
    files = Files(folder)
    with Image.open(files.paths[0]) as image:
        if image.size == (SIDE, SIDE) and not data.skipped:
            some = np.arange(0, len(data), max(1, len(data) // 50))
            assert torch.equal(data.tensor(some), torch.stack([files[index] for index in some]))


def drain(epoch: Epoch) -> int:
    return sum(len(batch) for batch in epoch())


def epochs(data: Data, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    cases = epochs_of(data, folder)
    for epoch in cases.values():
        drain(epoch)
    seconds = in_turns({name: lambda epoch=epoch: drain(epoch) for name, epoch in cases.items()}, rounds)
    return {
        name: {"images_per_second": len(data) / it, "factor": seconds["Pillow"] / it} for name, it in seconds.items()
    }


def wait(data: Data, rounds: int) -> dict[str, float]:
    """How long a step takes, and how much of it its batch."""
    shape = (3, SIDE, SIDE)
    networks = dcgan_generator(Z_DIM, shape, width=64), dcgan_discriminator(shape, width=64)
    trainer = Trainer(*networks, z_dim=Z_DIM, fabric=make_fabric("cpu"))
    feed = trainer.feed(data, BATCH)
    waits, steps = [], []
    with feed.reading() as batch:
        trainer.step(batch(0))
        for index in range(1, 4 * rounds + 1):
            t0 = time.perf_counter()
            real = batch(index)
            waits.append(time.perf_counter() - t0)
            trainer.step(real)
            steps.append(time.perf_counter() - t0)
    median_wait, median_step = statistics.median(waits), statistics.median(steps)
    return {
        "wait_milliseconds": 1e3 * median_wait,
        "step_milliseconds": 1e3 * median_step,
        "share": median_wait / median_step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=SMALL_COUNT, help="how many small PNGs are made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        small = arguments.folder or write_pictures(Path(made, "small"), arguments.count, SIDE, ".png")
        large = write_pictures(Path(made, "large"), LARGE_COUNT, LARGE_SIDE, ".jpg")
        data = load(small, size=SIDE, cache=Path(made, "cache"))
        if data.shape != (3, SIDE, SIDE):
            raise SystemExit(f"{small}: its images have {data.shape[0]} channels; give a folder of images in colour")
        check(data, small)
        results = {
            "preparation": preparation({"small": small, "large": large}, arguments.rounds),
            "epochs": epochs(data, small, arguments.rounds),
            "step": wait(data, arguments.rounds),
        }
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about(), **results}, indent=2) + "\n")
    factor, share = results["epochs"]["cached"]["factor"], results["step"]["share"]
    is_met = factor >= FACTOR_LIMIT and share <= WAIT_LIMIT
    print(
        f"the limits, {FACTOR_LIMIT:g} times Pillow and {WAIT_LIMIT:.0%} of a step, are {'met' if is_met else 'missed'}"
    )
    sys.exit(0 if is_met else 1)


def show(results: Mapping[str, Any]) -> None:
    print(
        f"{'preparation':<22}{'images':>8}{'kB each':>9}{'all cores':>11}{'one thread':>12}{'factor':>8}"
        "   images a second"
    )
    for name, row in results["preparation"].items():
        count, size, cores, thread, factor = row.values()
        print(f"{name:<22}{count:>8,}{size:>9.1f}{cores:>11,.0f}{thread:>12,.0f}{factor:>8.2f}")
    print(f"\n{'epoch':<22}{'images a second':>17}{'factor':>8}")
    for name, row in results["epochs"].items():
        print(f"{name:<22}{row['images_per_second']:>17,.0f}{row['factor']:>8.2f}")
    step = results["step"]
    print(
        f"\na batch is there after {step['wait_milliseconds']:.2f} ms, {step['share']:.2%} of a step of "
        f"{step['step_milliseconds']:.0f} ms\n"
    )


if __name__ == "__main__":
    main()
