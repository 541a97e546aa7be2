"""Hooks that show a run elsewhere: CSV files, TensorBoard and Weights & Biases."""

import csv
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poise.data import Data, load
from poise.errors import ConfigError, MissingExtraError
from poise.hooks import Mirror, Sink
from poise.recipes import resolve
from poise.runs import Run, read_rows
from poise.session import Outcome, Session

SMALL = ["generator.width=8", "discriminator.width=8", "batch=32", "evaluate.every_kimg=0.06", "log.every_steps=2"]


@pytest.fixture(scope="module")
def data() -> Data:
    return load(np.random.default_rng(0).normal(3.0, 2.0, (256, 2)).astype(np.float32))


def train(data: Data, run: Run, *assignments: str, steps: int = 6, **options: Any) -> Outcome:
    config = resolve(data, None, {"steps": steps}, [*SMALL, *assignments])
    return Session(config, data, run, device="cpu", **options).train()


def events(run: Run) -> list[dict[str, Any]]:
    return [event for event in read_rows(run.events.path) if event["kind"] == "hook_failed"]


# What a mirror passes on.


class Keeps(Sink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, int]] = []

    def row(self, kind: str, row: Any) -> None:
        self.given.append((kind, row["step"]))

    def picture(self, step: int, path: Path) -> None:
        self.given.append(("picture", step))


class Remembers(Keeps):
    """Is another program's, which has what earlier sessions gave it."""

    rewrites = False
    has_history = True


TRAINER: Any = SimpleNamespace(steps=0)


def written(path: Path) -> Run:
    run = Run(path)
    run.prepare()
    run.samples.mkdir()
    run.log.append({"step": 1, "d_loss": 1.0})
    run.metrics.append({"step": 1, "kid": 1.0})
    run.probes.append({"step": 1, "swd": 1.0})
    (run.samples / "00000001.png").touch()
    return run


def test_a_sink_is_given_each_row_and_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.hooks.mirror._LOOK_SECONDS", 0)
    run = written(tmp_path / "r")
    sink = Keeps()
    mirror = Mirror("keeps", run, lambda: sink)
    mirror.start(TRAINER)
    first = [("log", 1), ("metrics", 1), ("watch", 1), ("picture", 1)]
    assert sink.given == first
    run.log.append({"step": 2, "d_loss": 1.0})
    mirror.after_step(TRAINER)
    run.log.append({"step": 3, "d_loss": 1.0})
    mirror.end(TRAINER)
    assert sink.given == [*first, ("log", 2), ("log", 3)]


def test_rows_that_a_run_drops_are_dropped_by_sinks_that_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.hooks.mirror._LOOK_SECONDS", 0)
    run = written(tmp_path / "r")
    run.log.append({"step": 2, "d_loss": 1.0})
    opened: list[Keeps] = []

    def open_() -> Keeps:
        opened.append(Keeps())
        return opened[-1]

    mirror, kept = Mirror("keeps", run, open_), Remembers()
    other = Mirror("remembers", run, lambda: kept)
    for it in (mirror, other):
        it.start(TRAINER)
    run.log.keep_only(lambda row: row["step"] < 2)
    run.log.append({"step": 2, "d_loss": 2.0})
    for it in (mirror, other):
        it.after_step(TRAINER)
    assert [step for kind, step in opened[-1].given if kind == "log"] == [1, 2]
    assert len(opened) == 2
    assert kept.given == [("log", 2)]


def test_a_sink_that_fails_is_left_alone_and_said_once(tmp_path: Path) -> None:
    class Fails(Sink):
        def row(self, kind: str, row: Any) -> None:
            raise OSError("disk full")

    run = written(tmp_path / "r")
    mirror = Mirror("fails", run, Fails)
    with pytest.warns(UserWarning, match="the hook fails failed, and is off from here on: disk full"):
        mirror.start(TRAINER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mirror.end(TRAINER)


# Hooks of a config.


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_files_say_what_the_runs_own_files_say(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "hooks=[csv]", "checkpoint.every_steps=4")
    train(data, run, "hooks=[csv]", "checkpoint.every_steps=4", steps=9)
    for name in ("log", "metrics"):
        rows = read_rows(run.path / f"{name}.jsonl")
        shown = rows_of(run.path / f"{name}.csv")
        assert [int(row["step"]) for row in shown] == [row["step"] for row in rows]
        for row, cells in zip(rows, shown, strict=True):
            for key, value in row.items():
                assert cells[key] == (json.dumps(value) if isinstance(value, dict | list) else str(value)), key
    assert events(run) == []


def test_a_column_that_comes_late_is_empty_before(tmp_path: Path) -> None:
    from poise.hooks.viewers import csv_files

    run = written(tmp_path / "r")
    run.log.append({"step": 2, "d_loss": None, "r1_loss": 0.5, "text": 'a, "b"', "list": [1, 2]})
    csv_files(run).start(TRAINER)
    assert rows_of(run.path / "log.csv") == [
        {"step": "1", "d_loss": "1.0", "r1_loss": "", "text": "", "list": ""},
        {"step": "2", "d_loss": "", "r1_loss": "0.5", "text": 'a, "b"', "list": "[1, 2]"},
    ]


def test_a_hook_that_cannot_write_is_an_event_and_not_the_end(data: Data, tmp_path: Path) -> None:
    run, lines = Run(tmp_path / "r"), list[str]()
    train(data, run)
    (run.path / "log.csv").mkdir()  # no file can be written there
    assert train(data, run, "hooks=[csv]", steps=8, say=lines.append).trainer.steps == 8
    (event,) = events(run)
    assert (event["severity"], event["evidence"]["hook"]) == ("warning", "csv")
    assert [line for line in lines if line.startswith("Warning: the hook csv failed")]


def test_without_their_packages_hooks_say_what_to_install(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poise.hooks.viewers.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb"):
        with pytest.raises(MissingExtraError, match=rf"the hook {name} needs .* pip install 'poise\[{name}\]'"):
            train(data, Run(tmp_path / name), f"hooks=[{name}]")
        assert not (tmp_path / name).exists()


def test_mistakes_in_hooks_are_named(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hooks.0: there is no hook 'cvs' \(did you mean 'csv'\?\)"):
        train(data, Run(tmp_path / "r"), "hooks=[cvs]")
    with pytest.raises(ConfigError, match=r"hooks.0: csv has no option 'color'"):
        train(data, Run(tmp_path / "r"), "hooks=[{class: csv, color: red}]")


# TensorBoard.


@pytest.fixture
def scalars() -> Any:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(run: Run) -> Any:
        return EventAccumulator(str(run.path / "tensorboard")).Reload()

    return read


def test_tensorboard_shows_every_number_and_picture(data: Data, tmp_path: Path, scalars: Any) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "hooks=[tensorboard]", "checkpoint.every_steps=4")
    train(data, run, "hooks=[tensorboard]", "checkpoint.every_steps=4", steps=9)
    read = scalars(run)
    log = read_rows(run.log.path)
    shown = read.Scalars("log/d_loss")
    assert [it.step for it in shown] == [row["step"] for row in log]
    assert [it.value for it in shown] == pytest.approx([row["d_loss"] for row in log])
    assert [it.step for it in read.Scalars("metrics/swd")] == [row["step"] for row in read_rows(run.metrics.path)]
    assert [it.step for it in read.Images("samples")] == list(run.pictures())
    assert events(run) == []


def test_tensorboard_without_pictures(data: Data, tmp_path: Path, scalars: Any) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "hooks=[{class: tensorboard, pictures: false}]")
    assert scalars(run).Tags()["images"] == []


# Weights & Biases.


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What poise asks of wandb, as its documentation has it; tests need no account."""
    runs: list[Any] = []

    class FakeRun:
        def __init__(self, **options: Any) -> None:
            self.options = options
            self.logged: list[dict[str, Any]] = []
            self.metrics: list[tuple[str, str | None]] = []
            self.finished = False

        def define_metric(self, name: str, step_metric: str | None = None) -> None:
            self.metrics.append((name, step_metric))

        def log(self, row: dict[str, Any]) -> None:
            self.logged.append(row)

        def finish(self) -> None:
            self.finished = True

    def init(**options: Any) -> FakeRun:
        runs.append(FakeRun(**options))
        return runs[-1]

    module: Any = ModuleType("wandb")
    module.init, module.Image = init, lambda path: f"image of {path}"
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr("poise.hooks.viewers.find_spec", lambda name: object())
    return runs


def test_wandb_is_given_numbers_settings_and_pictures_and_goes_on_where_it_was(
    data: Data, tmp_path: Path, fake_wandb: list[Any]
) -> None:
    run = Run(tmp_path / "r")
    hooks = "hooks=[{class: wandb, project: mine, mode: offline}]"
    train(data, run, hooks)
    train(data, run, hooks, steps=8)
    first, second = fake_wandb
    assert (first.options["name"], first.options["project"], first.options["mode"]) == ("r", "mine", "offline")
    assert first.options["config"]["batch"] == 32
    assert first.options["resume"] == "allow"
    assert first.options["id"] == second.options["id"]
    assert ("*", "step") in first.metrics
    assert first.finished
    logged = [row["step"] for row in first.logged + second.logged if "log/d_loss" in row]
    assert logged == [2, 4, 6, 8]
    assert {"samples": f"image of {run.pictures()[8]}", "step": 8} in second.logged


def test_wandb_that_fails_ends_no_training(data: Data, tmp_path: Path, fake_wandb: list[Any]) -> None:
    def init(**options: Any) -> Any:
        raise RuntimeError("no account")

    sys.modules["wandb"].init = init  # type: ignore[attr-defined]
    run, lines = Run(tmp_path / "r"), list[str]()
    train(data, run, "hooks=[wandb, csv]", say=lines.append)
    (event,) = events(run)
    assert event["evidence"] == {"hook": "wandb", "error": "RuntimeError: no account"}
    assert event["action"] == "trains on without it"
    assert "Warning: the hook wandb failed (RuntimeError: no account); training goes on without it" in lines
    assert rows_of(run.path / "log.csv")


def test_wandb_itself_writes_offline(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    run = Run(tmp_path / "r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        train(data, run, "hooks=[{class: wandb, mode: offline}]")
    assert events(run) == []
    assert list(run.path.glob("wandb/offline-run-*/run-*.wandb"))


def test_hooks_of_ones_own_may_ask_for_the_run(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_hooks.py").write_text(
        "from poise.hooks import Hook\n\n"
        "class Marks(Hook):\n"
        "    def __init__(self, run, text: str):\n"
        "        self.run, self.text = run, text\n"
        "    def end(self, trainer):\n"
        "        (self.run.path / 'mark').write_text(self.text)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    run = Run(tmp_path / "r")
    train(data, run, "hooks=[{import: 'my_hooks:Marks', text: here}]", trust=["my_hooks"])
    assert (run.path / "mark").read_text() == "here"
