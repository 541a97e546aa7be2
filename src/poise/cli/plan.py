"""``poise plan``."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from poise.cli.reasons import reasons
from poise.cli.table import table

if TYPE_CHECKING:
    from poise.config import Config
    from poise.tuning import Table

__all__ = ["plan"]


def plan(
    file: str = typer.Argument(..., help="A YAML table of trials; or first-four, which comes along."),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="A.B=C", help="Change one setting of all trials, such as kimg=100; may be repeated."
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, or auto for the best there is."),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let recipes import parts of your own from this package; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON; progress goes to standard error."),
) -> None:
    """Train a table of trials, several seeds each, and compare them. The same command again goes on."""
    from poise.cli.console import console, preparing, track

    stream = console(aside=as_json)
    with preparing(quiet=as_json):
        from poise import tuning
        from poise.config import build, fabric_for
        from poise.data import load
        from poise.errors import StudyError
        from poise.recipes import chosen_size, resolve
        from poise.trainer import resolved_device

    planned = tuning.Plan.read(tuning.find_plan(file))
    resolved_device(device)
    side = chosen_size(planned.size, planned.recipe, [*planned.assignments, *assignments])
    data = load(planned.data, size=side, progress=track(f"preparing {planned.data}", stream))

    def configure(recipe: str | None, further: Sequence[str]) -> "Config":
        return resolve(data, recipe, {"size": side}, further)

    directory = tuning.STUDIES / planned.name
    runs = tuning.planned_runs(planned, configure, assignments, directory)
    for run in runs[: len(planned.trials)]:
        with tuning.naming(run.trial):
            build(run.config, data.shape, fabric_for(run.config, data.shape, device), trust)
    goal = tuning.goal_of(runs[0].config, data, device)
    stream.print(
        f"Plan {planned.name} in {directory}: {len(planned.trials)} trials, {len(planned.seeds)} seeds each, on "
        f"{planned.data}, compared by {goal.metric}"
    )
    for line in dict.fromkeys(it for run in runs[: len(planned.trials)] for it in reasons(data, run.config)):
        stream.print(line)
    compared = tuning.Table(planned, runs, data, goal, device=device, trust=trust, say=stream.print)
    if not compared.carry_out():
        stream.print(f"Stopped; all is saved. To go on: {shlex.join(['poise', *sys.argv[1:]])}")
        return
    page = tuning.write_comparison(compared, directory)
    if as_json:
        typer.echo(json.dumps(tuning.plan_facts(compared) | {"page": None if page is None else str(page)}, indent=2))
    _conclude(stream.print, compared, page)
    if not any(compared.values().values()):
        raise StudyError(f"no run of {len(runs)} came to its end: {'; '.join(compared.lost()[:3])}")


def _conclude(say: Callable[[str], None], compared: "Table", page: Path | None) -> None:
    from poise.tuning import METHOD, difference_rows, differences_of, trial_rows

    say("")
    rows = trial_rows(compared)
    for line in table(rows, right=set(rows[0][1:])):
        say(f"  {line}")
    for line in compared.lost():
        say(f"  left out: {line}")
    differences = differences_of(compared.values())
    if differences:
        say("")
        for line in table(difference_rows(differences, compared.goal.higher_is_better), right={"of means", "p (Holm)"}):
            say(f"  {line}")
        say(f"\n{METHOD}")
    else:
        say("Whether they differ by more than seeds do cannot be told: it takes two seeds or more of a trial.")
    say(f"  page  {page}" if page is not None else "  no page: it needs Plotly, pip install 'poise[report]'")
