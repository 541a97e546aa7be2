"""``poise runs``, ``poise show`` and ``poise recipes``: what there is. The first two load no torch."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from poise.cli.table import table
from poise.report import facts_of
from poise.runs import RUNS, Run, find, number, read_rows, runs_under

__all__ = ["recipes", "runs", "show"]


def _progress(facts: dict[str, Any]) -> str:
    if facts["target_steps"]:
        return f"{facts['step']:,} / {facts['target_steps']:,} steps"
    if facts["target_kimg"]:
        return f"{facts['nimg'] / 1000:,.1f} / {facts['target_kimg']:,g} kimg"
    return f"{facts['step']:,} steps"


def _text(value: Any, form: str) -> str:
    """A number in this form; anything else as it is."""
    return "" if value is None else str(value) if number(value) is None else format(value, form)


def runs(
    root: str = typer.Argument(str(RUNS), help="The directory of runs."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the runs, newest first."""
    found = [facts_of(run) for run in runs_under(Path(root))]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if not found:
        typer.echo(f"There is no run under {root}/ yet. Begin with: poise train digits")
        return
    header = ("run", "state", "done", "img/s", "d_loss", "g_loss", "note")
    for line in table([header, *map(_listed, found)], right={"img/s", "d_loss", "g_loss"}):
        typer.echo(line)


def _listed(facts: dict[str, Any]) -> tuple[str, ...]:
    redo = f"{facts['steps_to_redo']:,} steps would be redone" if facts["steps_to_redo"] else ""
    reason = next(iter(facts["reason"].splitlines()), "")
    return (
        facts["name"],
        facts["state"] or "",
        _progress(facts),
        _text(facts["img_per_s"], ",.0f"),
        _text(facts["d_loss"], ".3f"),
        _text(facts["g_loss"], ".3f"),
        "; ".join(filter(None, (redo, reason))),
    )


def show(
    run: str | None = typer.Argument(None, help="A run's name or path; the newest if left out.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show one run: how far it is, its last numbers, checkpoints, events and settings."""
    target = find(run)
    facts = facts_of(target)
    row = target.last_row()
    metrics, evaluation = (next(reversed(read_rows(it.path)), {}) for it in (target.metrics, target.evaluations))
    if as_json:
        typer.echo(
            json.dumps(
                facts
                | {"last": row, "metrics": metrics or None, "evaluation": evaluation or None}
                | {"machine": target.machine(), "networks": target.networks()}
                | _config(target),
                indent=2,
                default=str,
            )
        )
        return
    typer.echo(f"{facts['name']}: {facts['state'] or 'no status'}, {_progress(facts)}, {target.path}")
    if facts["reason"]:
        typer.echo(f"  because: {facts['reason']}")
    if facts["steps_to_redo"]:
        typer.echo(f"  {facts['steps_to_redo']:,} steps would be redone by going on")
    typer.echo(f"  trained {facts['seconds']:,.1f} s, {facts['nimg']:,} real images")
    for name, value in row.items():
        if name not in {"step", "nimg", "seconds", "partial"}:
            typer.echo(f"  {name:<14} {_text(value, ',.5g')}")
    for line in _measured(metrics):
        typer.echo(line)
    if evaluation:
        typer.echo(f"  evaluated by itself, {evaluation.get('checkpoint')} checkpoint:")
    for line in _measured(evaluation):
        typer.echo(f"  {line}")
    checkpoints = [f"{it.step:,}{' (best)' if it.best else ''}" for it in target.checkpoints.all()]
    typer.echo(f"  {'checkpoints':<14} {', '.join(checkpoints) or 'none'}")
    for picture in list(target.pictures().values())[-1:]:
        typer.echo(f"  {'samples':<14} {picture}")
    events = [event for event in read_rows(target.events.path) if event.get("severity") != "info"]
    for event in events[-5:]:
        severity, step = str(event.get("severity", "event")), _text(event.get("step"), ",")
        typer.echo(f"  {severity:<14} step {step}: {event.get('kind')}; {event.get('action')}")
    for name, value in target.machine().items():
        typer.echo(f"  {name:<14} {value}")
    for name, layers in target.networks().items():
        for line in _network(name, layers):
            typer.echo(line)
    if target.config_path.exists():
        typer.echo("\n" + target.config_path.read_text(encoding="utf-8", errors="replace").rstrip())


def _measured(row: dict[str, Any]) -> Iterator[str]:
    """A line for each number of an evaluation, with what it was measured on."""
    others = row.get("other_features")
    for name, value in row.items():
        if name in _NOT_MEASURED or number(value) is None:
            continue
        features = (others.get(name) if isinstance(others, dict) else None) or row.get("features")
        about = [f"{features} features"] if features else []
        about += [f"{row['fake_samples']:,} samples"] if number(row.get("fake_samples")) is not None else []
        how = f" ({', '.join(about)})" if about else ""
        yield f"  {name:<14} {value:.5g} at step {_text(row.get('step'), ',')}{how}"


_NOT_MEASURED = {"step", "nimg", "seed", "real_samples", "fake_samples"}


def _network(name: str, layers: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A network's layers with their shapes (W*H*C), and what they cost for one sample."""
    parameters, cost = (sum(layer[key] for layer in layers) for key in ("parameters", "cost"))
    yield f"\n{name}: {parameters:,} parameters, {cost:,} multiply-adds a sample"
    rows = [("layer", "gives", "parameters", "multiply-adds")]
    for layer in layers:
        shape = "*".join(map(str, reversed(layer["shape"])))
        rows.append((layer["layer"], shape, f"{layer['parameters']:,}", f"{layer['cost']:,}"))
    for line in table(rows, right={"parameters", "multiply-adds"}):
        yield f"  {line}"


def _config(run: Run) -> dict[str, Any]:
    """The settings as they are written, or why they cannot be read."""
    import yaml

    if not run.config_path.exists():
        return {"config": None}
    try:
        return {"config": yaml.safe_load(run.config_path.read_text(encoding="utf-8"))}
    except (ValueError, yaml.YAMLError) as error:
        return {"config": None, "config_error": f"{run.config_path} is not YAML: {' '.join(str(error).split())}"}


def recipes(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the recipes."""
    from poise.recipes import DEFAULTS, RECIPES

    lines = {name: (recipe.__doc__ or "").strip() for name, recipe in RECIPES.items()}
    if as_json:
        rows = [{"name": name, "default_for": DEFAULTS.get(name), "does": line} for name, line in lines.items()]
        typer.echo(json.dumps(rows))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        typer.echo(f"{name:<{width}}  {line}{f' (default for {DEFAULTS[name]})' if name in DEFAULTS else ''}")
