"""The program: its verbs, and how errors leave it."""

import sys
from typing import NoReturn

import typer

from poise.cli.inspect import recipes, runs, show
from poise.cli.sample import sample
from poise.cli.stop import stop
from poise.cli.train import train
from poise.errors import NonFiniteError, PoiseError

__all__ = ["app", "main"]

# Typer's Rich help takes longer to load than everything else here.
app = typer.Typer(
    name="poise",
    help="Train generative adversarial networks that stay in balance.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for verb in (train, sample, show, runs, recipes, stop):
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        from poise import __version__

        typer.echo(f"poise {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Train generative adversarial networks that stay in balance."""


def main() -> NoReturn:
    """Run the command line: exit 0 on success, 1 when a run failed, 2 on bad input."""
    try:
        app(prog_name="poise")
    except PoiseError as error:
        _leave(str(error), 1 if isinstance(error, NonFiniteError) else 2)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as with '| head'
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _leave(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    sys.exit(0)


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
