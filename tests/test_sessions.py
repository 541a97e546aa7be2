"""Sessions in one process: what they change of a run, when they refuse, and which checkpoint is best."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from poise.data import Data, load
from poise.errors import CheckpointError, ConfigError, RunError
from poise.hooks import INTERRUPTIONS, Hook
from poise.recipes import resolve
from poise.runs import Run, State, find, read_rows
from poise.session import Evaluation, Outcome, Sampler, Session, run_for
from poise.session.album import Album
from poise.trainer import Trainer, unpack

SMALL = ["generator.width=8", "discriminator.width=8", "batch=32", "evaluate.every_kimg=0.06", "log.every_steps=2"]


@pytest.fixture(scope="module")
def data() -> Data:
    return load(np.random.default_rng(0).normal(3.0, 2.0, (256, 2)).astype(np.float32))


def train(data: Data, run: Run, *assignments: str, steps: int = 6, **options: Any) -> Outcome:
    config = resolve(data, None, {"steps": steps}, [*SMALL, *assignments])
    return Session(config, data, run, device="cpu", **options).train()


def files(run: Run) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"}


def test_an_allowed_change_is_what_trains_on(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "d_optimizer.lr=1e-3")
    train(data, run, "d_optimizer.lr=1e-3", "g_optimizer.lr=1e-7", steps=8, allow_change=True)
    state = unpack(run.checkpoints.last().read())["trainer"]
    assert state["g_optimizer"]["optimizer"]["param_groups"][0]["lr"] == 1e-7
    assert state["d_optimizer"]["optimizer"]["param_groups"][0]["lr"] == 1e-3


class _Killed(BaseException):
    """Ends a session wherever it is."""


def test_checkpoints_that_are_gone_from_a_killed_run_are_no_fresh_start(data: Data, tmp_path: Path) -> None:
    run, written = Run(tmp_path / "r"), []

    class Keep(Hook):
        def after_step(self, trainer: Trainer) -> None:
            written.append((run.path / "status.json").read_text())

    train(data, run, "checkpoint.every_steps=2", hooks=[Keep()])
    assert [json.loads(it)["step"] for it in written] == [0, 2, 2, 4, 4, 6]
    (run.path / "status.json").write_text(written[2])
    assert (run.state(), run.status().nimg) == (State.KILLED, 64)
    shutil.rmtree(run.checkpoints.directory)
    with pytest.raises(CheckpointError, match="has no good checkpoint left"):
        train(data, run)


def test_what_was_killed_in_its_last_evaluation_is_evaluated_by_the_same_command(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "r")
    settings = ("checkpoint.every_steps=6", "evaluate.every_kimg=100")
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "score", _raise(_Killed()))
        with pytest.raises(_Killed):
            train(data, run, *settings)
    assert run.checkpoints.last().step == 6
    assert not read_rows(run.metrics.path)
    saved = run.checkpoints.last().read()
    outcome = train(data, run, *settings)
    assert (outcome.state, outcome.trained_steps) == (State.FINISHED, 0)
    assert [row["step"] for row in read_rows(run.metrics.path)] == [6]
    assert run.checkpoints.best().step == 6
    assert run.checkpoints.last().read() == saved
    assert run.state() is State.FINISHED


def _raise(error: BaseException) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize("reason", INTERRUPTIONS)
def test_who_is_asked_to_leave_saves_before_evaluating(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """The time that is left may not be enough for an evaluation."""

    class Leave(Hook):
        def after_step(self, trainer: Trainer) -> None:
            if trainer.steps == 3:
                trainer.stop(reason)

    run = Run(tmp_path / "r")
    monkeypatch.setattr(Evaluation, "score", _raise(_Killed()))
    with pytest.raises(_Killed):
        train(data, run, "evaluate.every_kimg=100", hooks=[Leave()])
    assert run.checkpoints.last().step == 3


@pytest.mark.parametrize("moment", ["after_step", "end"])
def test_what_was_trained_is_saved_where_a_hook_of_ones_own_fails(data: Data, tmp_path: Path, moment: str) -> None:
    class Broken(Hook):
        def after_step(self, trainer: Trainer) -> None:
            if trainer.steps == 3:
                trainer.stop("enough")
                self.fail("after_step")

        def end(self, trainer: Trainer) -> None:
            self.fail("end")

        def fail(self, now: str) -> None:
            if now == moment:
                raise KeyError("mine")

    run = Run(tmp_path / "r")
    with pytest.raises(KeyError, match="mine"):
        train(data, run, "evaluate.every_kimg=100", hooks=[Broken()])
    assert run.state() is State.FAILED
    assert run.checkpoints.last().step == 3
    assert train(data, run, "evaluate.every_kimg=100").trained_steps == 3


@pytest.mark.parametrize(
    ("samples", "count"),
    [(np.zeros((40, 2), np.float32), 38), (np.zeros((70, 8, 8, 1), np.uint8), 64), (np.zeros((100, 2)), 94)],
)
def test_the_default_batch_is_of_what_is_trained_on(samples: Any, count: int, tmp_path: Path) -> None:
    samples = samples + np.arange(len(samples)).reshape(-1, *[1] * (samples.ndim - 1)).astype(samples.dtype)
    data = load(samples)
    config = resolve(data, "vanilla", {"steps": 1}, ["generator.width=8", "discriminator.width=8"])
    assert config.batch == count
    assert Session(config, data, Run(tmp_path / "r"), device="cpu").train().state is State.FINISHED


@pytest.mark.parametrize("change", ["generator.width=16", "g_optimizer.class=SGD", "g_optimizer.amsgrad=true"])
def test_a_change_that_does_not_fit_leaves_the_run_as_it_was(data: Data, tmp_path: Path, change: str) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    before = files(run)
    with pytest.raises(CheckpointError, match="does not fit these networks and optimizers"):
        train(data, run, change, steps=8, allow_change=True)
    assert files(run) == before
    assert train(data, run, steps=8).trained_steps == 2


def test_damaged_checkpoints_never_cost_the_ones_that_follow(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "checkpoint.every_steps=4", steps=10)
    for checkpoint in run.checkpoints.all()[1:]:
        checkpoint.path.write_bytes(b"")
    lines: list[str] = []
    train(data, run, "checkpoint.every_steps=4", steps=9, say=lines.append)
    assert any(line.startswith("Warning: ") and "instead" in line for line in lines)
    assert run.checkpoints.last().step == 9
    assert Sampler(run, "cpu").sample(3).shape == (3, 2)


def test_checkpoints_that_are_gone_are_no_fresh_start(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    for path in run.checkpoints.directory.glob("*.json"):
        path.unlink()
    before = files(run)
    with pytest.raises(CheckpointError, match="has no good checkpoint left"):
        train(data, run, steps=8)
    assert files(run) == before


def test_a_finished_run_is_not_touched(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    before = files(run)
    for steps in (6, 3):
        outcome = train(data, run, steps=steps)
        assert (outcome.trained_steps, outcome.state) == (0, State.FINISHED)
    assert files(run) == before


def test_a_crash_is_a_failure_that_may_be_tried_again(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "r")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "sample", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            train(data, run)
    assert run.state() is State.FAILED
    assert run.status().reason == "OSError: disk full"
    assert train(data, run).state is State.FINISHED


def test_a_time_limit_must_be_one(data: Data, tmp_path: Path) -> None:
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="max_seconds is"):
            train(data, Run(tmp_path / "r"), max_seconds=limit)


def test_a_stop_asked_of_a_process_that_is_gone_is_forgotten(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    run.prepare()
    run.stop_request.touch()
    with pytest.raises(RunError, match="is not empty"):
        train(data, run)
    run.stop_request.unlink()
    train(data, run)
    run.stop_request.touch()
    assert train(data, run, steps=8).state is State.FINISHED


# The best checkpoint.


def score(values: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let evaluations at these steps give these values."""
    monkeypatch.setattr(Session, "_scores", lambda self, trainer: {"swd": values[trainer.steps]})


def test_the_best_stays_the_best_after_going_on(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score({2: 0.9, 4: 0.5, 5: 0.3, 6: 0.45, 8: 0.4}, monkeypatch)
    run = Run(tmp_path / "r")
    train(data, run, steps=5)
    assert run.checkpoints.best().best["value"] == 0.3
    train(data, run, steps=8)
    assert (run.checkpoints.best().step, run.checkpoints.best().best["value"]) == (5, 0.3)


def test_a_metric_that_is_no_number_is_never_best(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score({2: float("nan"), 4: 0.5, 6: float("nan"), 8: 0.4}, monkeypatch)
    run = Run(tmp_path / "r")
    train(data, run, steps=4)
    assert run.checkpoints.best().step == 4
    train(data, run, steps=8)
    assert run.checkpoints.best().step == 8
    assert [row["swd"] for row in read_rows(run.metrics.path)] == [None, 0.5, None, 0.4]


def test_a_best_that_was_saved_and_not_marked_is_found(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, steps=4)
    best = run.checkpoints.best()
    (run.checkpoints.directory / "best.json").unlink()
    train(data, run, "evaluate.every_kimg=0.06", steps=5)
    rows = {row["step"]: row["swd"] for row in read_rows(run.metrics.path)}
    assert run.checkpoints.best().best["value"] == min(rows[best.step], rows[5])


def test_scores_of_vectors_are_in_units_of_their_spread(data: Data, tmp_path: Path) -> None:
    """One point, the mean of the data, is as far from it as the data spreads, which is 1 in each direction."""
    outcome = train(data, Run(tmp_path / "r"))
    for weight in outcome.trainer.average.parameters():
        torch.nn.init.zeros_(weight)
    session = Session(resolve(data, None, {"steps": 6}, SMALL), data, Run(tmp_path / "r"), device="cpu")
    assert session._scores(outcome.trainer)["swd"] == pytest.approx(1.0, rel=0.1)


# Names.


def test_the_settings_name_the_run(data: Data, tmp_path: Path) -> None:
    config = resolve(data, None, {"steps": 6}, SMALL)
    run = run_for(config, root=tmp_path)
    assert run_for(config, root=tmp_path).path == run.path
    run.prepare()
    with run.claim():  # a process that was killed before it wrote the settings leaves the name as it was
        pass
    assert run_for(config, root=tmp_path).path == run.path
    train(data, run)
    assert run_for(config, root=tmp_path).path == run.path
    longer = resolve(data, None, {"steps": 60}, SMALL)
    assert run_for(longer, root=tmp_path).path == run.path
    assert run_for(resolve(data, None, {"steps": 6, "seed": 1}, SMALL), root=tmp_path).path != run.path


def test_a_run_that_is_named_is_the_one_that_is_found(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(data, None, {"steps": 6}, SMALL)
    assert run_for(config, "amber").path == Path("amber")
    train(data, Run("runs/amber"))
    (tmp_path / "amber").mkdir()
    assert run_for(config, "amber").path == find("amber").path == Path("runs/amber")
    assert run_for(config, "./amber").path == Path("amber")


def test_settings_that_cannot_be_read_are_no_reason_to_begin_another_run(data: Data, tmp_path: Path) -> None:
    config = resolve(data, None, {"steps": 6}, SMALL)
    run = run_for(config, root=tmp_path)
    train(data, run)
    run.config_path.write_text("a: [1")
    with pytest.raises(ConfigError, match=r"config.yaml is not YAML"):
        run_for(config, root=tmp_path)


def test_events_are_json_of_what_happened(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    train(data, run, steps=8)
    events = [json.loads(line) for line in run.events.path.read_text().splitlines()]
    assert [(it["step"], it["kind"]) for it in events] == [(6, "finished"), (6, "resumed"), (8, "finished")]
    assert all(set(it) == {"step", "kind", "severity", "evidence", "action", "time"} for it in events)


# On what a run is trained.


def test_a_run_says_on_what_it_was_trained(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    machine = run.machine()
    assert machine["device"] == f"cpu, {torch.get_num_threads()} threads"
    assert machine["precision"] == "32-true (auto: bfloat16 is too coarse for vectors)"
    assert machine["execution"] == "eager (auto: compiling pays from 30,000 steps on)"
    assert machine["data"] == "read from its memory map"


def test_going_on_elsewhere_is_said(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    said: list[str] = []
    train(data, run, steps=8, say=said.append)
    assert said == ["Going on from step 6"]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 96)
    train(data, run, steps=10, say=said.append)
    assert said[-1].startswith("Not on the same machine (device is cpu, 96 threads, was cpu, ")
    assert said[-1].endswith("): from here on, numbers may be rounded differently")
    assert [event["kind"] for event in read_rows(run.path / "events.jsonl")].count("machine_changed") == 1


def test_deterministic_is_a_setting(data: Data, tmp_path: Path) -> None:
    try:
        train(data, Run(tmp_path / "r"), "deterministic=true")
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


class Asks(Hook):
    """Asks for a checkpoint after the second step, and looks when there is one."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.saved: dict[int, list[int]] = {}

    def after_step(self, trainer: Trainer) -> None:
        if trainer.steps == 2:
            self.run.checkpoint_request.touch()
        self.saved[trainer.steps] = [checkpoint.step for checkpoint in self.run.checkpoints.all()]


def test_a_checkpoint_is_saved_when_asked_for(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.hooks.save.POLL_SECONDS", 0)
    run = Run(tmp_path / "r")
    hook = Asks(run)
    train(data, run, "evaluate.every_kimg=100", hooks=[hook])
    assert hook.saved == {1: [], 2: [], 3: [3], 4: [3], 5: [3], 6: [3]}
    assert not run.checkpoint_request.exists()


def test_real_samples_are_drawn_once_beside_generated_ones(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    assert list(run.pictures()) == [6]
    with Image.open(run.real_picture) as real, Image.open(run.pictures()[6]) as made:
        assert real.size == made.size
    drawn = run.real_picture.stat().st_mtime_ns
    train(data, run, steps=8)
    assert run.real_picture.stat().st_mtime_ns == drawn


def test_real_samples_are_in_the_order_of_classes_where_generated_ones_are(tmp_path: Path) -> None:
    digits = load("digits")
    config = resolve(digits, None, {"steps": 1}, ["conditional=true", "samples.count=12"])
    album = Album(Run(tmp_path / "r"), digits, config)
    assert digits.labels is not None
    assert [int(digits.labels[index]) for index in album._some_real()] == [*range(10), 0, 1]
