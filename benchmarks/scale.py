"""What trainings cost as they grow: batches, networks, data sets, processes; and arithmetic for many GPUs.

Each measurement is of a process of its own, so that memory and the time to the first step are those of a fresh start.
Samples are made up on the spot. Times want a quiet machine; memory does not.

    python benchmarks/scale.py [--parts batch,width,data,processes,arithmetic] [--seconds 3] [--largest 1000000]
                               [--json scale.json] [--markdown scale.md]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from machine import Others, about
from poise.data import load
from poise.models import dcgan_discriminator, dcgan_generator, r3gan_discriminator, r3gan_generator
from poise.penalties import PENALTIES, Weighted
from poise.trainer import Trainer, make_fabric
from roofline import flops_of
from tables import table

Z_DIM, SIDE, WIDTH, BATCH = 128, 32, 32, 64
BATCHES = (16, 32, 64, 128, 256, 512)
WIDTHS = (16, 32, 64, 128)
COUNTS = (10**3, 10**4, 10**5, 10**6)
DATA_SIDE, DATA_STEPS = 16, 200
PROCESSES = (1, 2)

Row = dict[str, Any]


# One process, or several that were started for one measurement.


def networks(width: int = WIDTH, side: int = SIDE) -> tuple[nn.Module, nn.Module]:
    shape = (3, side, side)
    return dcgan_generator(Z_DIM, shape, width=width), dcgan_discriminator(shape, width=width)


def noise(batch: int, side: int = SIDE) -> torch.Tensor:
    return torch.rand(batch, 3, side, side) * 2 - 1


def resident_bytes(field: str) -> int:
    """``VmHWM``: the peak of all that is resident; ``RssAnon``: what is no map of a file, now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def timed(step: Callable[[], object], seconds: float) -> list[float]:
    """The seconds of steps, after two that warm up."""
    taken: list[float] = []
    for _ in range(2):
        step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        t0 = time.perf_counter()
        step()
        taken.append(time.perf_counter() - t0)
    return taken


def step_of(width: int, batch: int, seconds: float) -> Row:
    trainer = Trainer(*networks(width), z_dim=Z_DIM, fabric=make_fabric("cpu"))
    real = noise(batch)
    others = Others()
    taken = timed(lambda: trainer.step(real), seconds)
    weights = sum(it.numel() for it in (*trainer.generator.parameters(), *trainer.discriminator.parameters()))
    return {
        "seconds": statistics.median(taken),
        "weights": weights,
        "peak_bytes": resident_bytes("VmHWM"),
        "others_cores": others.cores(),
    }


def write_images(path: Path, count: int) -> None:
    """So many images, a block at a time."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, DATA_SIDE, DATA_SIDE, 3))
    random = np.random.default_rng(0)
    for start in range(0, count, 10_000):
        block = rows[start : start + 10_000]
        block[:] = random.integers(0, 256, block.shape, dtype=np.uint8)
    rows.flush()


def prepared(path: Path, cache: Path) -> Row:
    t0 = time.perf_counter()
    load(path, size=DATA_SIDE, cache=cache)
    return {"prepare_seconds": time.perf_counter() - t0, "prepare_peak_bytes": resident_bytes("VmHWM")}


def begun(path: Path, cache: Path) -> Row:
    """From prepared data to the first step, and what memory grows by over many."""
    t0 = time.perf_counter()
    data = load(path, size=DATA_SIDE, cache=cache)
    trainer = Trainer(*networks(8, DATA_SIDE), z_dim=Z_DIM, fabric=make_fabric("cpu"))
    batches = trainer.feed(data, BATCH)
    trainer.step(batches.batch(0))
    start_seconds, first = time.perf_counter() - t0, resident_bytes("RssAnon")
    for index in range(1, DATA_STEPS):
        trainer.step(batches.batch(index))
    return {
        "start_seconds": start_seconds,
        "anonymous_bytes": first,
        "grown_bytes": resident_bytes("RssAnon") - first,
    }


def together(size: int, batch: int, seconds: float) -> Row:
    """This process's part of trainings by several; the first one's times are those of all."""
    fabric = make_fabric("cpu", devices=size)
    if size > 1:
        fabric.launch()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    trainer = Trainer(*networks(), z_dim=Z_DIM, fabric=fabric)
    own = noise(batch)[trainer.world.share(batch)]
    steps = int(trainer.world.of_first(max(3, round(seconds / statistics.median(timed(lambda: trainer.step(own), 0))))))
    taken = []
    for _ in range(steps):
        t0 = time.perf_counter()
        trainer.step(own)
        taken.append(time.perf_counter() - t0)
    return {"seconds": statistics.median(taken), "peak_bytes": resident_bytes("VmHWM")}


ONE: Mapping[str, Callable[..., Row]] = {
    "step": lambda width, batch, seconds: step_of(int(width), int(batch), float(seconds)),
    "prepared": lambda path, cache: prepared(Path(path), Path(cache)),
    "begun": lambda path, cache: begun(Path(path), Path(cache)),
    "together": lambda size, batch, seconds: together(int(size), int(batch), float(seconds)),
}


# Starting them.


def measured(kind: str, *given: object, processes: int = 1) -> Row:
    """What the first of some processes measured."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, __file__, "--one", kind, *map(str, given)]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **(meeting | {"LOCAL_RANK": str(rank)} if processes > 1 else {})},
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            text=True,
        )
        for rank in range(processes)
    ]
    said, _ = started[0].communicate()
    if any(it.wait() for it in started):
        raise SystemExit(f"{kind} {given} failed")
    return json.loads(said.splitlines()[-1])


def by_batch(arguments: argparse.Namespace) -> Iterator[Row]:
    for batch in BATCHES:
        yield {"batch": batch, **measured("step", WIDTH, batch, arguments.seconds)}


def by_width(arguments: argparse.Namespace) -> Iterator[Row]:
    for width in WIDTHS:
        yield {"width": width, **measured("step", width, BATCH, arguments.seconds)}


def by_data(arguments: argparse.Namespace) -> Iterator[Row]:
    for count in (it for it in COUNTS if it <= arguments.largest):
        with tempfile.TemporaryDirectory() as made:
            path, cache = Path(made, "images.npy"), Path(made, "cache")
            write_images(path, count)
            row = {"images": count, "bytes": path.stat().st_size, **measured("prepared", path, cache)}
            yield row | measured("begun", path, cache)


def by_processes(arguments: argparse.Namespace) -> Iterator[Row]:
    for batch in (BATCH, 4 * BATCH):
        for size in PROCESSES:
            row = measured("together", size, batch, arguments.seconds, processes=size)
            yield {"batch": batch, "processes": size, **row}


# Arithmetic for machines that are not here. Rates are assumptions, and printed with what follows from them.

GPUS = (8, 16, 64, 512)
GPUS_A_NODE = 8
SUSTAINED_FLOPS = 100e12  # of one GPU in a training of convolutions, about a tenth of what is written on an H100
LAUNCH_SECONDS = 6e-6  # of an operation that PyTorch starts on a GPU, whatever its size
NODE_BYTES_A_SECOND = 300e9  # one way, of one GPU to those of its machine
NETWORK_BYTES_A_SECOND = 45e9  # of one GPU to other machines: 400 Gbit/s each
NODE_SECONDS, HOP_SECONDS = 20e-6, 10e-6  # of any reduction in a machine, and for each doubling of machines

CASES: Mapping[str, tuple[Callable[[], tuple[nn.Module, nn.Module]], int, bool]] = {
    "DCGAN, 32 px, width 64": (lambda: networks(64), 32, False),
    "DCGAN, 64 px, width 128": (lambda: networks(128, 64), 64, False),
    "R3GAN nano, 32 px, R1 + R2": (
        lambda: (r3gan_generator(Z_DIM, (3, 32, 32), "nano"), r3gan_discriminator((3, 32, 32), "nano")),
        32,
        True,
    ),
    "R3GAN small, 64 px, R1 + R2": (
        lambda: (r3gan_generator(Z_DIM, (3, 64, 64), "small"), r3gan_discriminator((3, 64, 64), "small")),
        64,
        True,
    ),
}


def reduction_seconds(nbytes: float, gpus: int) -> float:
    """A ring in each machine, and one over machines for each GPU's part, of 2 (n - 1) / n of the bytes; and latency."""
    nodes, inside = max(1, gpus // GPUS_A_NODE), min(gpus, GPUS_A_NODE)
    within = 2 * (inside - 1) / inside * nbytes / NODE_BYTES_A_SECOND
    across = 2 * (nodes - 1) / nodes * nbytes / inside / NETWORK_BYTES_A_SECOND
    return within + across + NODE_SECONDS + HOP_SECONDS * log2(nodes)


class _Operations(TorchDispatchMode):
    """Counts what PyTorch starts."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def batch_norms(network: nn.Module) -> int:
    return sum(isinstance(it, nn.modules.batchnorm._BatchNorm) for it in network.modules())


def arithmetic(arguments: argparse.Namespace) -> Iterator[Row]:
    per_gpu = 32
    for name, (make, side, penalized) in CASES.items():
        penalties = {it: Weighted(PENALTIES[it], 1.0) for it in ("r1", "r2")} if penalized else {}
        g, d = make()
        trainer = Trainer(g, d, z_dim=Z_DIM, penalties=penalties, fabric=make_fabric("cpu"))
        real = noise(4, side)
        flops = sum(flops_of(lambda trainer=trainer, real=real: trainer.step(real))) / len(real)
        with _Operations() as operations:
            trainer.step(real)
        weights = [sum(it.numel() for it in network.parameters()) for network in (g, d)]
        computing, launching = per_gpu * flops / SUSTAINED_FLOPS, operations.count * LAUNCH_SECONDS
        step = max(computing, launching)
        # Of each batch norm there are two sums in a pass and two in its gradient. In D's move G passes without one and
        # D passes twice; in G's move both pass once.
        sums = 6 * batch_norms(g) + 12 * batch_norms(d)
        for gpus in GPUS:
            reduction = sum(reduction_seconds(4 * count, gpus) for count in weights)
            small = sums * reduction_seconds(0, gpus)
            yield {
                "case": name,
                "gpus": gpus,
                "batch": per_gpu * gpus,
                "gflop_an_image": flops / 1e9,
                "bytes": 4 * sum(weights),
                "computing_seconds": computing,
                "launching_seconds": launching,
                "reduction_seconds": reduction,
                "statistics_seconds": small,
                "efficiency": step / (step + reduction + small),
            }


# Showing them.

Columns = Mapping[str, Callable[[Row], str]]

_BUSY: Columns = {
    "others' cores": lambda row: "" if row["others_cores"] is None else f"{row['others_cores']:.1f}",
}

PARTS: Mapping[str, tuple[Callable[[argparse.Namespace], Iterator[Row]], Columns]] = {
    "batch": (
        by_batch,
        {
            "batch": lambda row: f"{row['batch']}",
            "ms a step": lambda row: f"{1e3 * row['seconds']:.1f}",
            "us an image": lambda row: f"{1e6 * row['seconds'] / row['batch']:.0f}",
            "peak MiB": lambda row: f"{row['peak_bytes'] / 2**20:,.0f}",
            **_BUSY,
        },
    ),
    "width": (
        by_width,
        {
            "width": lambda row: f"{row['width']}",
            "million weights": lambda row: f"{row['weights'] / 1e6:.2f}",
            "ms a step": lambda row: f"{1e3 * row['seconds']:.1f}",
            "peak MiB": lambda row: f"{row['peak_bytes'] / 2**20:,.0f}",
            **_BUSY,
        },
    ),
    "data": (
        by_data,
        {
            "images": lambda row: f"{row['images']:,}",
            "MB": lambda row: f"{row['bytes'] / 1e6:,.1f}",
            "prepare, s": lambda row: f"{row['prepare_seconds']:.1f}",
            "prepare, peak MiB": lambda row: f"{row['prepare_peak_bytes'] / 2**20:,.0f}",
            "first step, s": lambda row: f"{row['start_seconds']:.2f}",
            "memory, MiB": lambda row: f"{row['anonymous_bytes'] / 2**20:,.0f}",
            f"grown in {DATA_STEPS} steps, MiB": lambda row: f"{row['grown_bytes'] / 2**20:,.1f}",
        },
    ),
    "processes": (
        by_processes,
        {
            "batch": lambda row: f"{row['batch']}",
            "processes": lambda row: f"{row['processes']}",
            "ms a step": lambda row: f"{1e3 * row['seconds']:.1f}",
            "images a second": lambda row: f"{row['batch'] / row['seconds']:,.0f}",
            "peak MiB of each": lambda row: f"{row['peak_bytes'] / 2**20:,.0f}",
        },
    ),
    "arithmetic": (
        arithmetic,
        {
            "training": lambda row: row["case"],
            "GPUs": lambda row: f"{row['gpus']}",
            "batch": lambda row: f"{row['batch']:,}",
            "GFLOP an image": lambda row: f"{row['gflop_an_image']:.2f}",
            "MB reduced": lambda row: f"{row['bytes'] / 1e6:.1f}",
            "computing, ms": lambda row: f"{1e3 * row['computing_seconds']:.2f}",
            "launching, ms": lambda row: f"{1e3 * row['launching_seconds']:.2f}",
            "gradients, ms": lambda row: f"{1e3 * row['reduction_seconds']:.2f}",
            "statistics, ms": lambda row: f"{1e3 * row['statistics_seconds']:.2f}",
            "efficiency": lambda row: f"{row['efficiency']:.0%}",
        },
    ),
}


def shown(name: str, rows: list[Row]) -> str:
    columns = PARTS[name][1]
    return f"{name}\n\n" + table(list(columns), [[show(row) for show in columns.values()] for row in rows])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(ONE[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help="such as batch,data")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of steps")
    parser.add_argument("--largest", type=int, default=COUNTS[-1], help="the largest data set, in images")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    unknown = [it for it in arguments.parts if it not in PARTS]
    if unknown:
        parser.error(f"'{unknown[0]}' is none of {', '.join(PARTS)}")
    report: dict[str, Any] = {"about": about()}
    texts = []
    for name in arguments.parts:
        report[name] = []
        for row in PARTS[name][0](arguments):
            report[name].append(row)
            print(f"{name} {len(report[name])}", end="\r", file=sys.stderr, flush=True)
        texts.append(shown(name, report[name]))
        print(texts[-1] + "\n", flush=True)
        # After each part: an interrupted run keeps what it has.
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
        if arguments.markdown:
            arguments.markdown.write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
