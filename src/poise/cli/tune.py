"""``poise tune``."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from poise.cli.reasons import reasons
from poise.cli.table import table

if TYPE_CHECKING:
    from poise.config import Config
    from poise.tuning import Study, TrialRow

__all__ = ["tune"]

# A trial is evaluated at least so often, so that hopeless ones are seen early.
_EVALUATIONS = 10
_SHOWN = 10


def tune(
    data: str = typer.Argument(..., help="As for 'poise train'."),
    trials: int = typer.Option(..., min=1, help="How many in all; those of earlier runs of this command count."),
    recipe: str | None = typer.Option(
        None, help="What to begin from: a recipe's name or a YAML file of settings.", show_default=False
    ),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="A.B=C", help="Change one setting of all trials, such as kimg=50; may be repeated."
    ),
    size: int | None = typer.Option(None, help="Side of the images in pixels, a power of two.", show_default=False),
    space: Path | None = typer.Option(
        None, help="A YAML file of the settings to vary; left out, those that people tune.", show_default=False
    ),
    metric: str | None = typer.Option(
        None, help="The number to look for, such as kid; left out, the one that fits the data.", show_default=False
    ),
    storage: str | None = typer.Option(
        None,
        metavar="URL",
        help="A database that several machines work on: postgresql://USER:PASSWORD@HOST/NAME; left out, a file.",
        show_default=False,
    ),
    jobs: int = typer.Option(1, min=1, help="Workers on this machine."),
    pruner: str = typer.Option("median", help="Which trials are ended early: median, asha or none."),
    study: str | None = typer.Option(
        None, help="The study's name or directory; left out, the settings name it.", show_default=False
    ),
    silence: int = typer.Option(
        60, min=4, help="Seconds without a sign after which a worker is taken for dead, and a storage for gone."
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, or auto for the best there is."),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let the recipe import parts of your own from this package; may be repeated."
    ),
    is_worker: bool = typer.Option(False, "--worker", hidden=True),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON; progress goes to standard error."),
) -> None:
    """Search for good settings: train trials, and keep the best as a recipe. The same command again goes on."""
    from poise.cli.console import console, preparing, track
    from poise.errors import ConfigError, StudyError, nearest

    stream = console(aside=as_json or is_worker)
    with preparing(quiet=as_json):
        from poise import tuning
        from poise.config import build, fabric_for
        from poise.data import load
        from poise.recipes import as_recipe, chosen_size, resolve
        from poise.trainer import resolved_device

    tuning.require_optuna()
    if pruner not in tuple(tuning.Pruner):
        raise ConfigError(f"there is no pruner '{pruner}' {nearest(pruner, tuning.Pruner)}")
    resolved_device(device)
    side = chosen_size(size, recipe, assignments)
    prepared = load(data, size=side, progress=track(f"preparing {data}", stream))

    def settings(further: Sequence[str]) -> "Config":
        return resolve(prepared, recipe, {"size": side}, [*fixed, *further])

    fixed = list(assignments)
    watch = settings([]).watch
    fixed += tuning.as_drawn(assignments)
    fixed += _evaluations(settings([]), assignments, metric)
    base = settings([])
    goal = tuning.goal_of(base, prepared, device)
    searched = tuning.Space.read(space) if space else tuning.default_space(base, prepared)
    identity = tuning.identity_of(base, searched, goal)
    directory = tuning.directory_for(identity, study)
    if not is_worker:
        searched.require_fit(
            settings, lambda config: build(config, prepared.shape, fabric_for(config, prepared.shape, device), trust)
        )
    search = tuning.Study(
        settings,
        prepared,
        searched,
        goal,
        directory,
        storage=storage,
        pruner=tuning.Pruner(pruner),
        silent_seconds=silence,
        device=device,
        trust=trust,
        say=stream.print,
    )
    with closing(search):
        if is_worker:
            search.work(trials)
            return
        _introduce(stream.print, search, trials)
        if jobs > 1:
            tuning.run_workers([*sys.argv[1:], "--study", str(directory.resolve()), "--worker"], jobs, stream.print)
        else:
            search.work(trials)
        rows = search.rows()
        written = tuning.write_results(
            search, rows, lambda config: as_recipe(config.model_copy(update={"watch": watch}), prepared, side)
        )
        facts = tuning.facts(search, rows) | written.to_json()
        if as_json:
            typer.echo(json.dumps(facts, indent=2))
        _conclude(stream.print, search, rows, facts)
    if facts["best"] is None and not any(row.is_open for row in rows):
        reasons = dict.fromkeys(row.reason for row in rows if row.reason)
        raise StudyError(f"no trial of {len(rows)} came to its end: {'; '.join(list(reasons)[:3])}")


def _evaluations(base: "Config", assignments: Sequence[str], metric: str | None) -> list[str]:
    """The metric that was asked for; and evaluations in a short run as often as pruning needs them."""
    given = {it.partition("=")[0].strip() for it in assignments}
    fixed = [] if metric is None else [f"evaluate.metric={metric}"]
    if not {"evaluate", "evaluate.every_kimg"} & given:
        fixed.append(
            f"evaluate.every_kimg={min(base.evaluate.every_kimg, float(f'{base.end_kimg / _EVALUATIONS:.3g}'))}"
        )
    return fixed


def _introduce(say: Callable[[str], None], study: "Study", trials: int) -> None:
    rows = study.rows()
    done = sum(not row.is_open for row in rows)
    base, goal = study.base, study.goal
    sought = f"the {'highest' if goal.higher_is_better else 'lowest'} {goal.metric} of {base.data}"
    say(f"Study {study.name} in {study.directory}: {sought} in {base.end_kimg:g} kimg")
    for line in reasons(study.data, base):
        say(line)
    say(f"{done} of {trials} trials are done; varied over recipe {base.recipe}:")
    for entry in study.space.entries:
        say(f"  {entry}")


def _conclude(say: Callable[[str], None], study: "Study", rows: Sequence["TrialRow"], facts: Mapping[str, Any]) -> None:
    """Say what came out, where it is, and what to do next."""
    from poise.tuning import table_rows

    lines = table_rows(study, rows)
    for line in table(lines[: _SHOWN + 1], right={"trial", study.goal.metric}):
        say(f"  {line}")
    if len(lines) > _SHOWN + 1:
        say(f"  and {len(lines) - _SHOWN - 1} more")
    if facts["importances"]:
        shares = (f"{name} {share:.0%}" for name, share in list(facts["importances"].items())[:5])
        say(f"  what matters: {', '.join(shares)}")
    say(f"  page    {facts['page']}" if facts["page"] else "  no page: it needs Plotly, pip install 'poise[report]'")
    if facts["recipe"]:
        say(f"  recipe  {facts['recipe']}")
        say(f"  next    {shlex.join(['poise', 'train', study.base.data, '--recipe', facts['recipe']])}")
    if any(row.is_open for row in rows):
        say(f"Stopped; all is saved. To go on: {shlex.join(['poise', *sys.argv[1:]])}")
