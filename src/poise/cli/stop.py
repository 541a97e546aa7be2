"""``poise stop``."""

import time

import typer

from poise.errors import RunError
from poise.runs import State, find

__all__ = ["stop"]

_PATIENCE_SECONDS = 60.0


def stop(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
) -> None:
    """Ask a running run to save and stop, and wait until it has."""
    target = find(run)
    if target.state() is not State.RUNNING:
        raise RunError(f"run {target.name} is not running (it is {target.state() or 'not started'})")
    target.stop_request.touch()
    t0 = time.monotonic()
    while target.is_held():
        if time.monotonic() - t0 > _PATIENCE_SECONDS:
            raise RunError(
                f"run {target.name} was asked to stop {_PATIENCE_SECONDS:g} seconds ago and is still at work; its step "
                "may be long: look again with 'poise runs'"
            )
        time.sleep(0.1)
    status = target.status()
    typer.echo(
        f"Stopped {target.name} at step {status.step if status else 0:,}; 'poise train' with the same settings goes on."
    )
