"""Hooks that a config names: other viewers' files, filled from the run's own."""

import csv
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from poise.errors import MissingExtraError
from poise.files import write_atomic
from poise.hooks.mirror import Mirror, Row, Sink, warn
from poise.runs import Run, number
from poise.trainer import Hook

__all__ = ["HOOKS", "csv_files", "tensorboard", "wandb"]

Failed = Callable[[str, Exception], None]


def csv_files(run: Run, failed: Failed = warn) -> Mirror:
    """``log.csv``, ``metrics.csv`` and ``watch.csv`` in the run, for spreadsheets: a row for each of the run's own."""
    return Mirror("csv", run, lambda: _Csv(run.path), failed)


def tensorboard(run: Run, failed: Failed = warn, pictures: bool = True) -> Mirror:
    """``tensorboard/`` in the run, which ``tensorboard --logdir runs`` shows: every number, and pictures of samples.

    Raises:
        MissingExtraError: when TensorBoard is not installed.
    """
    _require("tensorboard")
    return Mirror("tensorboard", run, lambda: _TensorBoard(run.path / "tensorboard", pictures), failed)


def wandb(
    run: Run,
    failed: Failed = warn,
    project: str = "poise",
    entity: str | None = None,
    mode: Literal["online", "offline"] = "online",
    pictures: bool = True,
) -> Mirror:
    """Weights & Biases: every number, the settings, and pictures of samples; a run that goes on goes on there too.

    Raises:
        MissingExtraError: when wandb is not installed.
    """
    _require("wandb")
    options = {"project": project, "entity": entity, "mode": mode}
    return Mirror("wandb", run, lambda: _Wandb(run, options, pictures), failed)


HOOKS: Mapping[str, Callable[..., Hook]] = MappingProxyType(
    {"csv": csv_files, "tensorboard": tensorboard, "wandb": wandb}
)
"""Every hook that a config can name."""


def _require(package: str) -> None:
    try:
        found = find_spec(package)
    except ValueError:  # something else that was imported goes by its name
        found = None
    if found is None:
        raise MissingExtraError(f"the hook {package} needs the '{package}' package: pip install 'poise[{package}]'")


class _Csv(Sink):
    """One file for each kind of rows. A column that comes late is empty in the rows before."""

    def __init__(self, directory: Path) -> None:
        self._paths = {kind: directory / f"{kind}.csv" for kind in ("log", "metrics", "watch")}
        self._columns: dict[str, list[str]] = {kind: [] for kind in self._paths}
        for path in self._paths.values():
            path.unlink(missing_ok=True)

    def row(self, kind: str, row: Row) -> None:
        path, columns = self._paths[kind], self._columns[kind]
        late = [name for name in row if name not in columns]
        if late:
            self._add(path, columns, late)
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([_cell(row.get(name)) for name in columns])

    def _add(self, path: Path, columns: list[str], late: list[str]) -> None:
        rows: list[list[str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
        columns += late
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([*row, *[""] * (len(columns) - len(row))] for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


class _TensorBoard(Sink):
    def __init__(self, directory: Path, pictures: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(directory))
        self._pictures = pictures

    def row(self, kind: str, row: Row) -> None:
        for name, value in _numbers(row).items():
            self._writer.add_scalar(f"{kind}/{name}", value, row["step"])

    def picture(self, step: int, path: Path) -> None:
        if self._pictures:
            import numpy as np
            from PIL import Image

            with Image.open(path) as image:
                self._writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Wandb(Sink):
    rewrites = False

    def __init__(self, run: Run, options: Mapping[str, Any], pictures: bool) -> None:
        import wandb

        self._wandb: Any = wandb
        self.has_history = (run.path / _IDENTITY).exists()
        self._pictures = pictures
        self._run: Any = wandb.init(
            name=run.name, id=_identity(run), resume="allow", dir=str(run.path), config=_config(run), **options
        )
        # Of one step there are rows of several kinds, and wandb's own counter takes only one.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def row(self, kind: str, row: Row) -> None:
        self._run.log({f"{kind}/{name}": value for name, value in _numbers(row).items()} | {"step": row["step"]})

    def picture(self, step: int, path: Path) -> None:
        if self._pictures:
            self._run.log({"samples": self._wandb.Image(str(path)), "step": step})

    def close(self) -> None:
        self._run.finish()


def _numbers(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "step" and number(value) is not None}


_IDENTITY = "wandb.id"


def _identity(run: Run) -> str:
    """What W&B knows the run by: made once, so that a run that goes on, or is moved, is the same there."""
    path = run.path / _IDENTITY
    if not path.exists():
        from secrets import token_hex

        write_atomic(path, token_hex(8) + "\n")
    return path.read_text(encoding="utf-8").strip()


def _config(run: Run) -> Any:
    import yaml

    return yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
