"""``poise export``."""

import json
from pathlib import Path

import typer

__all__ = ["export"]


def export(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    form: str | None = typer.Option(
        None,
        "--format",
        help="onnx, or pt2: a program of torch.export. Left out, what --out ends in, or onnx.",
        show_default=False,
    ),
    out: Path | None = typer.Option(
        None, help="The file; generator.onnx or such in the run's directory if left out.", show_default=False
    ),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let the run's config import its generator from this package; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Write a run's best generator (its averaged weights) as one file that runs without poise."""
    from poise.cli.console import preparing, writing
    from poise.runs import find

    target = find(run)
    with preparing(quiet=as_json):
        from poise.session import Sampler, format_of, write_export

        chosen = format_of(form, out)
        sampler = Sampler(target, "cpu", trust)
    path = target.path / f"generator.{chosen}" if out is None else out
    with writing(path):
        about = write_export(sampler, path, chosen)
    for warning in sampler.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "bytes": path.stat().st_size, **about}, indent=2))
        return
    takes = f"z, float32 (n, {about['z_dim']})" + (", and labels, int64 (n,)" if about["classes"] else "")
    kind = "uint8" if about["kind"] == "images" else "float32"
    shape = ", ".join(map(str, ("n", *about["shape"])))
    typer.echo(f"{target.name}, step {about['step']:,}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"  takes  {takes}")
    typer.echo(f"  gives  samples, {kind} ({shape})")
