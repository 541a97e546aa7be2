"""``poise runs``, ``poise show`` and ``poise recipes``: what there is. The first two load no torch."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from poise.runs import RUNS, Run, State, find, read_rows, runs_under

__all__ = ["recipes", "runs", "show"]


def _facts(run: Run) -> dict[str, Any]:
    """What a run's files tell, for people and for programs."""
    status, state, row = run.status(), run.state(), run.last_row()
    best = run.checkpoints.best()
    saved = run.checkpoints.last()
    return {
        "name": run.name,
        "path": str(run.path),
        "state": str(state) if state else None,
        "step": row.get("step", status.step if status else 0),
        "target_steps": status.target_steps if status else None,
        "nimg": row.get("nimg", status.nimg if status else 0),
        "target_kimg": status.target_kimg if status else None,
        "seconds": row.get("seconds", status.seconds if status else 0.0),
        "img_per_s": row.get("img_per_s"),
        "d_loss": row.get("d_loss"),
        "g_loss": row.get("g_loss"),
        "checkpoint_step": saved.step if saved else None,
        "steps_to_redo": run.steps_at_risk() if state is State.KILLED else 0,
        "best": dict(best.best) if best and best.best else None,
        "reason": status.reason if status else "",
    }


def _progress(facts: dict[str, Any]) -> str:
    if facts["target_steps"]:
        return f"{facts['step']:,} / {facts['target_steps']:,} steps"
    if facts["target_kimg"]:
        return f"{facts['nimg'] / 1000:,.1f} / {facts['target_kimg']:,g} kimg"
    return f"{facts['step']:,} steps"


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def runs(
    root: str = typer.Argument(str(RUNS), help="The directory of runs."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the runs, newest first."""
    found = [_facts(run) for run in runs_under(Path(root))]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if not found:
        typer.echo(f"There is no run under {root}/ yet. Begin with: poise train digits")
        return
    header = ("run", "state", "done", "img/s", "d_loss", "g_loss", "note")
    for line in _table([header, *map(_listed, found)], right={"img/s", "d_loss", "g_loss"}):
        typer.echo(line)


def _listed(facts: dict[str, Any]) -> tuple[str, ...]:
    redo = f"{facts['steps_to_redo']:,} steps would be redone" if facts["state"] == State.KILLED else ""
    return (
        facts["name"],
        facts["state"] or "",
        _progress(facts),
        _number(facts["img_per_s"], ",.0f"),
        _number(facts["d_loss"], ".3f"),
        _number(facts["g_loss"], ".3f"),
        redo or facts["reason"],
    )


def _table(rows: Sequence[Sequence[str]], right: Collection[str]) -> Iterator[str]:
    """Rows, the first of which is the header, in columns; Rich would take longer to load than all else here."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(rows[0], row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def show(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show one run: how far it is, its last numbers, checkpoints, events and settings."""
    target = find(run)
    facts = _facts(target)
    row = target.last_row()
    metrics = read_rows(target.metrics.path)
    config = target.config_path.read_text(encoding="utf-8") if target.config_path.exists() else ""
    if as_json:
        import yaml

        facts |= {"last": row, "metrics": metrics[-1] if metrics else None, "config": yaml.safe_load(config)}
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"{facts['name']}: {facts['state'] or 'no status'}, {_progress(facts)}, {target.path}")
    if facts["reason"]:
        typer.echo(f"  because: {facts['reason']}")
    if facts["steps_to_redo"]:
        typer.echo(f"  {facts['steps_to_redo']:,} steps would be redone by going on")
    skipped = {"step", "nimg", "seconds", "partial"}
    typer.echo(f"  trained {facts['seconds']:,.1f} s, {facts['nimg']:,} real images")
    for name, value in row.items():
        if name not in skipped:
            typer.echo(f"  {name:<14} {_number(value, ',.5g')}")
    if metrics:
        last = metrics[-1]
        measured = f"{last.get('features')} features, {last.get('fake_samples'):,} samples"
        typer.echo(f"  {'swd':<14} {last['swd']:.5g} at step {last['step']:,} ({measured})")
    checkpoints = [f"{it.step:,}{' (best)' if it.best else ''}" for it in target.checkpoints.all()]
    typer.echo(f"  {'checkpoints':<14} {', '.join(checkpoints) or 'none'}")
    pictures = sorted(target.samples.glob("*.png"))
    if pictures:
        typer.echo(f"  {'samples':<14} {pictures[-1]}")
    events = [event for event in read_rows(target.events.path) if event.get("severity") != "info"]
    for event in events[-5:]:
        typer.echo(f"  {event['severity']:<14} step {event['step']:,}: {event['kind']}; {event['action']}")
    if config:
        typer.echo("\n" + config.rstrip())


def recipes(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the recipes."""
    from poise.recipes import DEFAULT, RECIPES

    lines = {name: (recipe.__doc__ or "").strip() for name, recipe in RECIPES.items()}
    if as_json:
        typer.echo(json.dumps([{"name": name, "default": name == DEFAULT, "does": it} for name, it in lines.items()]))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        typer.echo(f"{name:<{width}}  {line}{' (default)' if name == DEFAULT else ''}")
