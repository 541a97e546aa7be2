"""The program: its verbs, and how errors leave it."""

import errno
import os
import sys
import traceback
from io import TextIOWrapper
from typing import NoReturn

import typer
import typer.main

from poise.cli.board import board
from poise.cli.doctor import doctor
from poise.cli.evaluate import evaluate
from poise.cli.export import export
from poise.cli.import_hypergan import import_hypergan
from poise.cli.inspect import recipes, runs, show
from poise.cli.parts import parts
from poise.cli.plan import plan
from poise.cli.quick import Quick
from poise.cli.report import report
from poise.cli.sample import sample
from poise.cli.stop import stop
from poise.cli.train import train
from poise.cli.tune import tune
from poise.errors import NonFiniteError, PeerError, PoiseError, StudyError
from poise.launch import rank_of

__all__ = ["app", "main"]

# Typer's Rich help takes longer to load than everything else here.
app = typer.Typer(
    name="poise",
    help="Train generative adversarial networks that stay in balance.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    add_help_option=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for verb in (
    train,
    sample,
    evaluate,
    export,
    doctor,
    report,
    board,
    tune,
    plan,
    show,
    runs,
    recipes,
    parts,
    stop,
    import_hypergan,
):
    app.command(cls=Quick if verb in (show, runs, doctor) else None)(verb)


def _version(value: bool) -> None:
    if value:
        from poise import __version__

        typer.echo(f"poise {__version__}")
        raise typer.Exit


def _help(context: typer.Context, value: bool) -> None:
    if value:
        typer.echo(context.get_help())
        raise typer.Exit


# Typer's own help option has to be parsed for every verb, and for that Typer loads pydantic.
@app.callback()
def _program(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
    help_: bool = typer.Option(
        False, "-h", "--help", help="Show this message and exit.", callback=_help, is_eager=True
    ),
) -> None:
    """Train generative adversarial networks that stay in balance."""


_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAKE_ROOM = "; make room and give the same command again: a training goes on from its last checkpoint"


def main() -> NoReturn:
    """Run the command line: exit 0 on success, 1 when a run failed, 2 on bad input, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that the terminal cannot show must not end a training
            stream.reconfigure(errors="replace")
    try:
        _run()
    except typer.Exit as exit_:
        sys.exit(exit_.exit_code)
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # all that Typer raises have it; their common class has no name
        sys.exit(error.exit_code)
    except PoiseError as error:
        failed = isinstance(error, NonFiniteError | PeerError | StudyError)
        _leave(str(error), 1 if failed else 2, error.is_known_to_all)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as with '| head'; what is left has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        way_out = _MAKE_ROOM if error.errno in _DISK_IS_FULL else ""
        _leave(f"{error.strerror or error}{where}{way_out}", 1)
    except Exception as error:
        _leave_unexpectedly(error)
    sys.exit(0)


def _run() -> None:
    # Not app(): Typer's own way out says nothing when it is interrupted, and takes a closed pipe for a failure.
    program = typer.main.get_command(app)
    with program.make_context("poise", sys.argv[1:]) as context:
        program.invoke(context)


def _leave(message: str, code: int, is_known_to_all: bool = False) -> NoReturn:
    """Say what went wrong; of several processes that know, the first one does."""
    rank = rank_of()
    if not (rank and is_known_to_all):
        typer.echo(f"process {rank}: error: {message}" if rank else f"error: {message}", err=True)
    sys.exit(code)


def _leave_unexpectedly(error: Exception) -> NoReturn:
    """Say that it is poise's own fault; the traceback is for those who ask for it."""
    if os.environ.get("POISE_DEBUG"):
        traceback.print_exception(error)
    first = next(iter(str(error).splitlines()), "")
    typer.echo(
        f"unexpected error: {type(error).__name__}: {first}; this is a defect of poise or of something it uses, please "
        "report it. Set POISE_DEBUG=1 to see the traceback.",
        err=True,
    )
    sys.exit(1)
