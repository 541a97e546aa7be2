"""``poise sample``."""

import json
from pathlib import Path

import typer

from poise.errors import ConfigError

__all__ = ["sample"]


def sample(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    n: int = typer.Option(64, "-n", "--count", min=1, help="How many samples."),
    seed: int = typer.Option(0, min=0, help="Of the latents: the same seed gives the same samples."),
    class_: str | None = typer.Option(
        None, "--class", help="Of this class alone, by name or number; of all in turn if left out.", show_default=False
    ),
    grid: Path | None = typer.Option(None, help="Write one picture of all samples here, a .png.", show_default=False),
    out: Path | None = typer.Option(
        None,
        help="Write single PNGs, or one samples.npy for vectors, into this directory. They take the place of all "
        "samples that were written there before; other files are left alone.",
        show_default=False,
    ),
    walk: Path | None = typer.Option(
        None,
        help="Write an animated walk through latent space here, past up to 8 samples, .gif, .webp or .png.",
        show_default=False,
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, or auto for the best there is."),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let the run's config import its generator from this package; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Sample from a run's best generator (its averaged weights)."""
    if grid is not None and grid.suffix.lower() != ".png":
        raise ConfigError(f"{grid}: the picture of all samples is a PNG file; write it as .png")
    from poise.cli.console import preparing, writing
    from poise.runs import find

    target = find(run)
    with preparing(quiet=as_json):
        import torch

        from poise.session import Sampler, has_picture, write_picture, write_samples, write_walk

        sampler = Sampler(target, device, trust)
        label = None if class_ is None else sampler.label(class_)
    if grid is None and out is None and walk is None:
        if has_picture(sampler.scaling):
            grid = target.path / "generated.png"
        else:
            out = target.path / "generated"
    files: list[Path] = []
    said: list[str] = []
    if walk is not None:
        stops = min(max(n, 2), 8)
        with writing(walk):
            files.append(write_walk(sampler, walk, stops=stops, seed=seed, label=label or 0))
        said.append(f"a walk past {_count(stops)} in {walk}")
    labels = None if label is None else torch.full((n,), label)
    samples = sampler.sample(n, seed, labels=labels) if grid is not None or out is not None else None
    if grid is not None and samples is not None:
        with writing(grid):
            classes = len(sampler.config.classes) if labels is None else 0
            files.append(write_picture(sampler, samples, grid, seed=seed, classes=classes))
        said.append(f"a picture of {_count(n)} in {grid}")
    if out is not None and samples is not None:
        with writing(out):
            written = write_samples(sampler, samples, out, seed=seed)
        files += written
        said.append(f"{_count(n)} in {written[0] if len(written) == 1 else f'{out} ({len(written):,} files)'}")
    for warning in sampler.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        facts = {
            "run": target.name,
            "checkpoint_step": sampler.checkpoint.step,
            "count": 0 if samples is None else n,
            "seed": seed,
            "class": class_,
            "files": [str(path) for path in files],
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    kept = "best" if sampler.checkpoint.best else "last"
    of = f"{kept} checkpoint (step {sampler.checkpoint.step:,}), seed {seed}"
    of += "" if class_ is None else f", class {class_}"
    typer.echo(f"{target.name}, {of}: {'; '.join(said)}")


def _count(n: int) -> str:
    return f"{n:,} sample{'s' * (n != 1)}"
