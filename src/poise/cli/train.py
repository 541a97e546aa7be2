"""``poise train``."""

import json
import shlex
import sys
import warnings
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from poise.cli.reasons import reasons
from poise.launch import Place, device_of_fabric_run, launch, place
from poise.runs import RUNS, Run

if TYPE_CHECKING:
    from rich.console import Console

    from poise.config import Config
    from poise.data import Data
    from poise.session import Outcome

__all__ = ["train"]


class Watching(StrEnum):
    """What the watch may do."""

    OFF = "off"
    WARN = "warn"
    AUTO = "auto"
    ACT = "act"


def train(
    data: str = typer.Argument(
        ..., help="digits, ring8 or grid25; a folder, .zip or .tar of images; an .npy or .npz array; or hf:owner/name."
    ),
    recipe: str | None = typer.Option(
        None, help="A recipe's name ('poise recipes' lists them) or a YAML file of settings.", show_default=False
    ),
    run: str | None = typer.Option(
        None,
        help="The run directory; of a run under runs/ its name will do. Left out, the settings name it.",
        show_default=False,
    ),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="A.B=C", help="Change one setting, such as g_optimizer.lr=1e-4; may be repeated."
    ),
    size: int | None = typer.Option(None, help="Side of the images in pixels, a power of two.", show_default=False),
    steps: int | None = typer.Option(None, min=1, help="Train until so many steps are done.", show_default=False),
    kimg: float | None = typer.Option(None, help="Train until so many thousand images were shown.", show_default=False),
    batch: str | None = typer.Option(
        None, help="Real images a batch; auto for the largest that fits in memory.", show_default=False
    ),
    seed: int | None = typer.Option(
        None, min=0, help="Of all randomness; 0 unless the recipe says otherwise.", show_default=False
    ),
    deterministic: bool | None = typer.Option(
        None, "--deterministic", help="Let every operation give the same bits each time.", show_default=False
    ),
    flip: bool | None = typer.Option(None, "--flip", help="Flip images horizontally at random.", show_default=False),
    balance: str | None = typer.Option(
        None, help="Who moves when, such as alternating; auto to hold D's lead in a band.", show_default=False
    ),
    watch: Watching | None = typer.Option(
        None,
        help="What is done where training goes wrong: off; warn, say so; act, also undo and change what is to blame; "
        "auto, act on what breaks a run and warn of the rest. Left out, auto.",
        show_default=False,
    ),
    conditional: bool | None = typer.Option(
        None, "--conditional", help="Let the networks know the data's classes.", show_default=False
    ),
    device: str = typer.Option("auto", help="cpu, cuda, cuda:1, or auto for the best there is."),
    devices: int | None = typer.Option(
        None, min=1, help="Processes on this machine, each with a device of its own.", show_default=False
    ),
    nodes: int | None = typer.Option(
        None, min=1, help="Machines; start the command on each, or use torchrun or srun.", show_default=False
    ),
    max_seconds: float | None = typer.Option(None, help="End cleanly after so many seconds.", show_default=False),
    allow_change: bool = typer.Option(False, "--allow-change", help="Go on with a run although settings differ."),
    trust: list[str] = typer.Option(
        [], metavar="PACKAGE", help="Let the recipe import parts of your own from this package; may be repeated."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the whole config and train nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON; progress goes to standard error."),
) -> None:
    """Train a generator on DATA. The same command again goes on where the run was left."""
    from poise.cli.console import console, preparing, track

    device = device_of_fabric_run(device)
    where = place(devices, nodes)
    is_first = where.rank == 0
    stream = console(aside=as_json or dry_run, quiet=not is_first)
    if not is_first:
        warnings.simplefilter("ignore")  # the first process says the same
    with preparing(quiet=as_json or not is_first):
        from poise.cli.progress import Progress
        from poise.config import build, dump, fabric_for, require_processes
        from poise.data import load
        from poise.recipes import chosen_size, resolve, safe_for
        from poise.session import Session, run_for, settled
        from poise.trainer import resolved_device

    resolved_device(device, where.devices)  # a device that is not there is better refused before data is prepared
    side = chosen_size(size, recipe, assignments)
    prepared = load(data, size=side, progress=track(f"preparing {data}", stream))
    given: dict[str, Any] = {"size": side, "steps": steps, "kimg": kimg, "batch": _batch(batch), "seed": seed}
    given |= {"flip": flip, "deterministic": deterministic, "conditional": conditional}
    given |= {"balance": balance, "watch": None if watch is None else {"mode": watch.value}}
    config = resolve(prepared, recipe, given, assignments)
    if dry_run:
        require_processes(config, where.size)
        build(config, prepared.shape, fabric_for(config, prepared.shape, device), trust)  # refuses what cannot be
        if is_first:
            for line in reasons(prepared, config):
                stream.print(line)
            typer.echo(dump(config), nl=False)
        return
    target = run_for(config, run)
    config = settled(config, target, prepared, device, trust, where.size)
    require_processes(config, where.size)  # better here than in each of them
    _introduce(stream, prepared, config, target, where)
    progress = Progress(stream, config.steps, config.kimg, max_seconds)
    with launch(where, [sys.executable, "-m", "poise", *sys.argv[1:]]):
        session = Session(
            config,
            prepared,
            target,
            device=device,
            devices=where.devices,
            nodes=where.nodes,
            max_seconds=max_seconds,
            allow_change=allow_change,
            trust=trust,
            safe=resolve(prepared, safe_for(prepared)),
            hooks=[progress],
            seen=progress.row,
            say=stream.print,
        )
        try:
            outcome = session.train()
        finally:
            progress.close()
    if not is_first:
        return
    _conclude(stream, outcome, config)
    if as_json:
        typer.echo(json.dumps(_facts(outcome), indent=2))
    if outcome.state == "failed":
        typer.echo(
            f"error: run {outcome.run.name} failed at step {outcome.trainer.steps:,}: {outcome.reason}", err=True
        )
        raise typer.Exit(1)


def _batch(text: str | None) -> int | str | None:
    """A number where it is one; the config says what else it may be."""
    return int(text) if text is not None and text.isdecimal() else text


def _introduce(stream: "Console", data: "Data", config: "Config", run: "Run", where: Place) -> None:
    """Say what will be trained on what, and which files could not be used."""
    shape = " x ".join(map(str, data.shape[1:] + data.shape[:1])) if data.kind == "images" else f"{data.shape[0]}-D"
    classes = f", {len(data.classes)} classes" if data.classes else ""
    if len(data.classes) > 1 and not config.conditional:
        classes += " (--conditional lets the networks know them)"
    stream.print(f"{data.source}: {len(data):,} {'images' if data.kind == 'images' else 'vectors'} of {shape}{classes}")
    if data.skipped:
        shown = "".join(f"\n  {line}" for line in data.skipped[:5])
        more = f"\n  and {len(data.skipped) - 5} more" if len(data.skipped) > 5 else ""
        files = "1 file" if len(data.skipped) == 1 else f"{len(data.skipped):,} files"
        stream.print(f"{files} could not be read and left out:{shown}{more}")
    batch = f"batch {config.batch}"
    if where.size > 1:
        batch += f", {config.samples_a_batch // where.size} for each of {where.size} processes"
    stream.print(f"Run {run.name} in {run.path}, recipe {config.recipe}, {batch}")
    for line in reasons(data, config):
        stream.print(line)


def _conclude(stream: "Console", outcome: "Outcome", config: "Config") -> None:
    """Say how it ended, where everything is, and what to do next."""
    from poise.cli.progress import duration

    run, trainer = outcome.run, outcome.trainer
    if outcome.state == "stopped":
        command = shlex.join(["poise", *sys.argv[1:]])
        stream.print(f"Stopped at step {trainer.steps:,} ({outcome.reason}); all is saved. To go on: {command}")
    elif outcome.state == "failed":
        stream.print(f"Given up at step {trainer.steps:,}; the best is kept, and poise doctor {run.name} says more")
    elif not outcome.trained_steps:
        further = f"--steps {2 * trainer.steps}" if config.steps else f"--kimg {2 * (config.kimg or 0):g}"
        stream.print(
            f"Run {run.name} is finished already, at step {trainer.steps:,}. For a longer one: {further}; for "
            "another one: --seed or --run"
        )
    else:
        speed = f"{outcome.trained_images / max(outcome.seconds, 1e-9):,.0f} img/s"
        stream.print(
            f"Finished at step {trainer.steps:,}, {trainer.nimg / 1000:,.1f} kimg, "
            f"in {duration(outcome.seconds)} ({speed})"
        )
    for picture in list(run.pictures().values())[-1:]:
        stream.print(f"  samples  {picture}")
    best = run.checkpoints.best()
    if best is not None and best.best is not None:
        stream.print(f"  best     step {best.step:,} ({best.best['metric']} {best.best['value']:.4g})")
    named = shlex.quote(run.name if run.path.parent == RUNS else str(run.path))
    stream.print(f"  next     poise sample {named} -n 64 --grid samples.png")


def _facts(outcome: "Outcome") -> dict[str, Any]:
    return {
        "run": outcome.run.name,
        "path": str(outcome.run.path),
        "state": str(outcome.state),
        "reason": outcome.reason,
        "step": outcome.trainer.steps,
        "nimg": outcome.trainer.nimg,
        "trained_steps": outcome.trained_steps,
        "seconds": round(outcome.seconds, 3),
    }
