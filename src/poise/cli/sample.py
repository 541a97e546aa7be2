"""``poise sample``."""

import json
from pathlib import Path

import typer

__all__ = ["sample"]


def sample(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    n: int = typer.Option(64, "-n", "--count", min=1, help="How many samples."),
    seed: int = typer.Option(0, min=0, help="Of the latents: the same seed gives the same samples."),
    grid: Path | None = typer.Option(None, help="Write one picture of all samples here.", show_default=False),
    out: Path | None = typer.Option(
        None, help="Write single PNGs, or one samples.npy for vectors, into this directory.", show_default=False
    ),
    walk: Path | None = typer.Option(
        None, help="Write an animated walk through latent space here, .gif, .webp or .png.", show_default=False
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, mps, or auto for the best there is."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Sample from a run's best generator (its averaged weights)."""
    from poise.cli.console import preparing
    from poise.runs import find
    from poise.session import Sampler, has_picture, write_picture, write_samples, write_walk

    target = find(run)
    with preparing(quiet=as_json):
        sampler = Sampler(target, device)
    for warning in sampler.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if grid is None and out is None and walk is None:
        if has_picture(sampler.scaling):
            grid = target.path / "generated.png"
        else:
            out = target.path / "generated"
    written: list[Path] = []
    if walk is not None:
        written.append(write_walk(sampler, walk, stops=min(n, 8), seed=seed))
    samples = sampler.sample(n, seed) if grid is not None or out is not None else None
    if grid is not None and samples is not None:
        written.append(write_picture(sampler, samples, grid, seed=seed))
    if out is not None and samples is not None:
        written += write_samples(sampler, samples, out, seed=seed)
    facts = {
        "run": target.name,
        "checkpoint_step": sampler.checkpoint.step,
        "count": n,
        "seed": seed,
        "files": [str(path) for path in written],
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    kept = "best" if sampler.checkpoint.best else "last"
    where = ", ".join(map(str, written)) if len(written) < 4 else f"{out} ({len(written)} files)"
    typer.echo(
        f"{n} samples of {target.name}, {kept} checkpoint (step {sampler.checkpoint.step:,}), seed {seed}: {where}"
    )
