"""``poise evaluate``."""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from poise.cli.table import table
from poise.errors import ConfigError

__all__ = ["evaluate"]

_PAIRS = 32


class Which(StrEnum):
    """Which of a run's checkpoints."""

    BEST = "best"
    LAST = "last"


def evaluate(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    data: str | None = typer.Option(
        None, help="Where the data is now, if no longer where it was when the run was trained.", show_default=False
    ),
    metrics: str | None = typer.Option(
        None,
        metavar="A,B",
        help="What to measure: fid, kid, prdc (precision, recall, density, coverage), modes, classes, memorization, "
        "swd. Left out, all that fit the data.",
        show_default=False,
    ),
    samples: int | None = typer.Option(
        None, "-n", "--samples", min=1, help="How many; left out, as many as the training takes.", show_default=False
    ),
    seed: int = typer.Option(0, min=0, help="Of the latents and of the choice of real samples."),
    features: str | None = typer.Option(
        None,
        help="raw, standardized (vectors), classifier (trained on the labels, and kept), inception, dinov2, or auto; "
        "left out, the run's own.",
        show_default=False,
    ),
    checkpoint: Which = typer.Option(Which.BEST, help="Which checkpoint's samples: best or last."),
    neighbours: Path | None = typer.Option(
        None,
        help="Write a picture here, a .png: the samples that are nearest to the training data, each beside its "
        "neighbour.",
        show_default=False,
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, or auto for the best there is."),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let the run's config import its generator from this package; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON; progress goes to standard error."),
) -> None:
    """Score a run: the samples of its averaged generator against the data that it was trained on."""
    if neighbours is not None and neighbours.suffix.lower() != ".png":
        raise ConfigError(f"{neighbours}: the picture of neighbours is a PNG file; write it as .png")
    from poise.cli.console import console, preparing, track
    from poise.runs import find

    target = find(run)
    stream = console(aside=True)
    with preparing(quiet=as_json):
        from poise.data import grid, save_png
        from poise.session import Assessment, Sampler

        sampler = Sampler(target, device, trust, checkpoint.value)

    def progress(what: str, items: Iterable[Any], total: int) -> Iterator[Any]:
        yield from track(what, stream)(items, total)

    assessment = Assessment(
        sampler,
        source=data,
        metrics=None if metrics is None else [name.strip() for name in metrics.split(",")],
        features=features,
        samples=samples,
        seed=seed,
        progress=progress,
        say=stream.print,
    )
    if neighbours is not None and sampler.scaling.kind != "images":
        raise ConfigError(f"a picture of neighbours is for images; run {target.name} makes vectors")
    for warning in sampler.warnings:
        typer.echo(f"warning: {warning}", err=True)
    made = assessment.samples()
    row = assessment.row(made)
    if neighbours is not None:
        pairs = assessment.evaluation.nearest_pairs(made, _PAIRS)
        save_png(grid(pairs, columns=8), neighbours, sampler.text(seed))
    if as_json:
        typer.echo(json.dumps({"run": target.name, **row}, indent=2))
        return
    typer.echo(
        f"{target.name}, {row['checkpoint']} checkpoint (step {row['step']:,}): {row['fake_samples']:,} samples "
        f"against {row['real_samples']:,} real ones, seed {seed}"
    )
    for line in table(_rows(row), right={"value"}):
        typer.echo(f"  {line}")
    if "kid_by_class" in row:
        typer.echo("  kid by class: " + ", ".join(f"{name} {value:.3g}" for name, value in row["kid_by_class"].items()))
    if "class_accuracy" in row:
        typer.echo(f"  {row['class_accuracy']:.1%} are taken by the classifier for what was asked for")
    for name, text in assessment.evaluation.about().items():
        typer.echo(f"  {name}: {text}")
    if neighbours is not None:
        typer.echo(f"  the nearest samples, each beside its training neighbour, in {neighbours}")


def _rows(row: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """A line for each number: when it is good, and on what features it was measured."""
    from poise.metrics import METRICS

    spaces = row.get("other_features", {})
    lines = [("metric", "value", "", "better", "features")]
    for entry in METRICS.values():
        for name, way in entry.numbers.items():
            if name in row:
                spread = f"± {row[f'{name}_std']:.3g}" if f"{name}_std" in row else ""
                lines.append((name, f"{row[name]:.5g}", spread, way, spaces.get(name, row["features"])))
    return lines
