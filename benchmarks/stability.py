"""How often trainings succeed over a grid of settings: a plain alternating loop against poise's defaults.

The grid is loss x penalty x learning rate of D, on points (grid25) and images (digits). Both ways of a cell see as many
real images, with the cell's loss, penalty and factor of D's learning rate:

- the plain loop has Adam 2e-4 (0.5, 0.999) for both players, who take turns, and gives its last weights, as most loops
  written by hand do;
- poise takes its default for the data, whatever optimizers, schedules, average and watch that has, and gives its best
  checkpoint.

A run's score is its coverage (Naeem et al. 2020, arXiv 2002.09797): the share of real samples that have a fake one as
near as their fifth neighbour, which is low for samples that are bad as for samples that are alike. A run succeeds that
reaches 80 % of the best score on its data, of whatever way. The JSON file is written after each run, and what is in it
is not run again.

    python benchmarks/stability.py [--data grid25,digits] [--cells vanilla/r1/4,...] [--seed 0] [--json stability.json]
                                   [--markdown stability.md]

Exits 1 when poise succeeds less than 1.5 times as often, 2 on bad input.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from pathlib import Path

import torch
from torch import Tensor, nn

import plain
from machine import about
from poise.config import EvaluateConfig, Part
from poise.data import Batches, Data, load
from poise.data.cache import cache_directory
from poise.files import write_atomic
from poise.losses import LOSSES
from poise.models import PRESETS
from poise.penalties import PENALTIES, gradient_penalty
from poise.recipes import resolve
from poise.runs import Run
from poise.session import Evaluation

GRID_LOSSES = ("vanilla", "hinge", "wasserstein", "lsgan", "relativistic")
PENALTY_SETS = {"none": (), "r1": ("r1",), "r1+r2": ("r1", "r2"), "wgan_gp": ("wgan_gp",)}
FACTORS = (0.25, 1.0, 4.0)
Scores = dict[str, float]
"""By the way."""

_LR, _BETAS = 2e-4, (0.5, 0.999)
_SAMPLES = 1500
_SEED_OF_SAMPLES = 1
_ENOUGH, _TIMES_AS_OFTEN = 0.8, 1.5


@dataclass(frozen=True)
class Field:
    """What a grid is run on.

    Attributes:
        kimg: real images that each run sees, in thousands.
        batch: of both ways.
        z_dim: likewise.
        network: the preset.
        options: of the preset, for both players.
        weights: of the penalties.
    """

    kimg: float
    batch: int
    z_dim: int
    network: str
    options: Mapping[str, int]
    weights: Mapping[str, float]


FIELDS = {
    # Gradients of D are in units of the data: of standardized points the modes are 0.02 wide, of images 1 is all.
    "grid25": Field(640.0, 256, 8, "mlp", {"width": 128}, {"r1": 0.01, "r2": 0.01, "wgan_gp": 10.0}),
    "digits": Field(100.0, 64, 64, "dcgan", {"width": 32}, {"r1": 0.2, "r2": 0.2, "wgan_gp": 10.0}),
}


@dataclass(frozen=True)
class Cell:
    """A cell of the grid."""

    loss: str
    penalty: str
    factor: float

    def __str__(self) -> str:
        return f"{self.loss}/{self.penalty}/{self.factor:g}"


CELLS = {str(cell): cell for cell in (Cell(*it) for it in product(GRID_LOSSES, PENALTY_SETS, FACTORS))}


def train_plain(name: str, cell: Cell, seed: int) -> float:
    """The score of a plain loop."""
    at, data = FIELDS[name], load(name)
    torch.manual_seed(seed)
    norm = {"norm": "none"} if at.network == "dcgan" and cell.penalty != "none" else {}
    generator = PRESETS[at.network].generator(at.z_dim, data.shape, **at.options)
    discriminator = PRESETS[at.network].discriminator(data.shape, **at.options, **norm)

    def adam(weights: Iterable[nn.Parameter]) -> torch.optim.Adam:
        of_d = {id(weight) for weight in discriminator.parameters()}
        weights = list(weights)
        factor = cell.factor if id(weights[0]) in of_d else 1.0
        return torch.optim.Adam(weights, lr=_LR * factor, betas=_BETAS)

    batches = map(Batches(data, at.batch, seed=seed).batch, count())
    game = plain.Game(generator, discriminator, batches, partial(torch.randn, at.batch, at.z_dim), adam)
    step = plain.alternating(game, *_objectives(cell, at))
    for _ in range(round(1000 * at.kimg / at.batch)):
        step()
    generator.eval()
    z = torch.randn(_SAMPLES, at.z_dim, generator=torch.Generator().manual_seed(_SEED_OF_SAMPLES))
    with torch.no_grad():
        return coverage(data, generator(z))


def _objectives(cell: Cell, at: Field) -> tuple[plain.DLoss, plain.GLoss]:
    loss = LOSSES[cell.loss]

    def d_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        total = loss.d(discriminator(real), discriminator(fake)).mean()
        for name in PENALTY_SETS[cell.penalty]:
            total = total + at.weights[name] * gradient_penalty(PENALTIES[name], discriminator, real, fake).mean()
        return total

    def g_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        with torch.no_grad():
            real_logits = discriminator(real)
        return loss.g(real_logits, discriminator(fake)).mean()

    return d_loss, g_loss


def coverage(data: Data, samples: Tensor) -> float:
    """That of samples as a generator makes them; 0 where they are not finite, since training has failed."""
    if not samples.isfinite().all():
        return 0.0
    config = EvaluateConfig(metrics=("prdc",), samples=len(samples))
    evaluation = Evaluation(data, config, torch.device("cpu"), seed=_SEED_OF_SAMPLES, cache=cache_directory(None))
    return float(evaluation.score(samples)["coverage"])


def train_poise(name: str, cell: Cell, seed: int) -> float:
    """The score of poise's default; 0 where it ended before the first checkpoint, on what is not finite."""
    at, data = FIELDS[name], load(name)
    settings = {
        "loss": cell.loss,
        "penalties": "{" + ", ".join(f"{it}: {at.weights[it]}" for it in PENALTY_SETS[cell.penalty]) + "}",
        "z_dim": at.z_dim,
        "evaluate.every_kimg": at.kimg / 5,
    }
    settings |= {f"d_optimizer.lr.{end}": lr * cell.factor for end, lr in d_rates(data).items()}
    settings |= {f"{player}.{key}": it for player in ("generator", "discriminator") for key, it in at.options.items()}
    sets = [text for key, it in settings.items() for text in ("--set", f"{key}={it}")]
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory, "run"))
        given = ("--kimg", str(at.kimg), "--batch", str(at.batch), "--seed", str(seed))
        trained = poise("train", name, "--run", str(run.path), *given, *sets)
        if trained.returncode and not run.status().hopeless:
            raise SystemExit(f"{name} {cell}: {trained.stderr}")
        if not run.checkpoints.all():
            return 0.0
        measured = ("--metrics", "prdc", "--samples", str(_SAMPLES), "--seed", str(_SEED_OF_SAMPLES), "--json")
        return float(json.loads(poise("evaluate", str(run.path), *measured, check=True).stdout)["coverage"])


def d_rates(data: Data) -> dict[str, float]:
    """The first and the last learning rate of D by the default for this data."""
    schedule = resolve(data).d_optimizer.lr
    assert isinstance(schedule, Part)
    return {end: float(schedule.options[end]) for end in ("from", "to")}


def poise(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "poise", *arguments], capture_output=True, text=True, check=check)


TRAIN: Mapping[str, Callable[[str, Cell, int], float]] = {"plain": train_plain, "poise": train_poise}
"""Each way."""


# Tables.


def successes(scores: Mapping[str, Mapping[str, float]], against: Sequence[str] = tuple(TRAIN)) -> dict[str, list[str]]:
    """The cells that succeed, by the way: those that reach 80 % of the best score ``against`` these ways."""
    best = max(ways[way] for ways in scores.values() for way in against)
    return {way: [cell for cell, ways in scores.items() if ways[way] >= _ENOUGH * best] for way in TRAIN}


def table(name: str, scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A row a loss and penalty, a column a way and factor; what succeeds is bold."""
    reached = successes(scores)
    columns = [(way, factor) for way in TRAIN for factor in FACTORS]
    lines = [
        f"### {name}: runs that succeed: {_shares(reached, len(scores))}",
        "",
        f"With 80 % of the best plain loop's score: {_shares(successes(scores, ['plain']), len(scores))}.",
        "",
        "| loss | penalty | " + " | ".join(f"{way}, {factor:g} x" for way, factor in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for loss, penalty in product(GRID_LOSSES, PENALTY_SETS):
        texts = []
        for way, factor in columns:
            cell = str(Cell(loss, penalty, factor))
            text = f"{scores[cell][way]:.2f}" if cell in scores else ""
            texts.append(f"**{text}**" if cell in reached[way] else text)
        if any(texts):
            lines.append(f"| {loss} | {penalty} | {' | '.join(texts)} |")
    return [*lines, ""]


def _shares(reached: Mapping[str, Sequence[str]], cells: int) -> str:
    return ", ".join(f"{way} {len(it)} of {cells} ({len(it) / cells:.0%})" for way, it in reached.items())


def measure(names: Sequence[str], cells: Sequence[str], seed: int, path: Path) -> dict[str, dict[str, Scores]]:
    """Run what the JSON file at ``path`` does not have yet; return the scores by data, cell and way."""
    results = json.loads(path.read_text()) if path.exists() else {}
    if results.setdefault("seed", seed) != seed:
        raise SystemExit(f"{path} has the runs of seed {results['seed']}; give another file for seed {seed}")
    results["about"] = about()
    for name, cell, way in product(names, cells, TRAIN):
        ways = results.setdefault("scores", {}).setdefault(name, {}).setdefault(cell, {})
        if way not in ways:
            ways[way] = TRAIN[way](name, CELLS[cell], seed)
            write_atomic(path, json.dumps(results, indent=1) + "\n")
            print(f"{name} {cell} {way} {ways[way]:.3f}", flush=True)
    return {name: {cell: results["scores"][name][cell] for cell in cells} for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=",".join(FIELDS), help=f"of {', '.join(FIELDS)}")
    parser.add_argument("--cells", default=",".join(CELLS), help="loss/penalty/factor; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("stability.json"))
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    arguments = parser.parse_args()
    names, cells = arguments.data.split(","), arguments.cells.split(",")
    for given, known in ((names, FIELDS), (cells, CELLS)):
        unknown = [it for it in given if it not in known]
        if unknown:
            parser.error(f"'{unknown[0]}' is none of {', '.join(known)}")
    scores = measure(names, cells, arguments.seed, arguments.json)
    text = "\n".join(line for name in names for line in table(name, scores[name]))
    print(text)
    if arguments.markdown is not None:
        write_atomic(arguments.markdown, text + "\n")
    reached = [successes(scores[name]) for name in names]
    kept = all(len(it["poise"]) >= _TIMES_AS_OFTEN * len(it["plain"]) for it in reached)
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
