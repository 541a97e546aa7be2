"""``poise import-hypergan``."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from poise.errors import ConfigError

if TYPE_CHECKING:
    from poise.recipes.hypergan import Imported

__all__ = ["import_hypergan"]


def import_hypergan(
    file: Path = typer.Argument(
        ..., help="A configuration of HyperGAN 1.x, as JSON: a whole model, or one component such as a trainer."
    ),
    out: Path = typer.Option(..., "--out", help="Write the recipe here, a .yaml.", show_default=False),
    force: bool = typer.Option(False, "--force", help="Write over a recipe that is there already."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Make a recipe of a HyperGAN configuration, and name what of it has no meaning here."""
    from poise.cli.console import preparing, writing

    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; give another --out, or --force to write over it")
    if out.exists() and file.exists() and out.samefile(file):
        raise ConfigError(f"{out} is the configuration itself, which is not written over; give another --out")
    with preparing(quiet=as_json):
        from poise.files import write_atomic
        from poise.recipes.hypergan import convert_file

        imported = convert_file(file)
    with writing(out):
        write_atomic(out, imported.text())
    if as_json:
        typer.echo(json.dumps(_facts(imported, out), indent=2))
        return
    typer.echo(f"{file} as a recipe: {', '.join(imported.settings)}")
    for note in sorted(imported.notes, key=lambda it: not it.changes_outcome):
        typer.echo(f"{'warning' if note.changes_outcome else 'left out'}: {note}")
    typer.echo(f"Wrote {out}. To train: poise train DATA --recipe {shlex.quote(str(out))}")


def _facts(imported: "Imported", out: Path) -> dict[str, Any]:
    return {
        "file": imported.origin,
        "recipe": str(out),
        "settings": dict(imported.settings),
        "notes": [note._asdict() for note in imported.notes],
    }
