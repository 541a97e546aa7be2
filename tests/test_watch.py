"""The watch: what it measures, that it touches nothing, what it says, and what it does about a run that goes wrong."""

import copy
import json
import math
import tracemalloc
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poise.config import parse
from poise.data import Data, held_out, load
from poise.diagnosis import Finding, Severity, diagnose
from poise.diagnosis.course import Course
from poise.diagnosis.detectors import DETECTORS, Detector
from poise.errors import DataError, NonFiniteError, RunError
from poise.hooks import Hook
from poise.recipes import RECIPES, resolve
from poise.runs import Run, State, read_rows
from poise.session import Outcome, Sampler, Session
from poise.session.recovery import SAFE, Recovery
from poise.trainer import Trainer, make_fabric
from poise.watch import HOPELESS, REMEDIES, Probe, Watch, about_data, acts, remedies

SMALL = (
    "generator.width=8",
    "discriminator.width=8",
    "batch=32",
    "log.every_steps=4",
    "watch.every_steps=4",
    "watch.samples=16",
    "evaluate.every_kimg=0.25",
    "evaluate.samples=64",
    "checkpoint.every_steps=4",
    "execution=eager",
)


@pytest.fixture(scope="module")
def data() -> Data:
    return load(np.random.default_rng(0).normal(3.0, 2.0, (512, 2)).astype(np.float32))


class At(Hook):
    """Does something to the trainer after a step, once in a session."""

    def __init__(self, step: int, do: Callable[[Trainer], Any]) -> None:
        self.step, self.do, self.done = step, do, False

    def after_step(self, trainer: Trainer) -> None:
        if trainer.steps == self.step and not self.done:
            self.done = True
            self.do(trainer)


def session(data: Data, run: Run, *assignments: str, steps: int = 24, **options: Any) -> Session:
    config = resolve(data, "relativistic", {"steps": steps}, [*SMALL, *assignments])
    return Session(config, data, run, device="cpu", **options)


def train(data: Data, run: Run, *assignments: str, **options: Any) -> Outcome:
    return session(data, run, *assignments, **options).train()


def events(run: Run, *kinds: str) -> list[dict[str, Any]]:
    return [row for row in read_rows(run.events.path) if row["kind"] in kinds]


# What is measured.


class Constant(nn.Module):
    """G of fixed samples, whatever the latents."""

    def __init__(self, samples: Tensor) -> None:
        super().__init__()
        self.samples = nn.Parameter(samples)

    def forward(self, z: Tensor) -> Tensor:
        return self.samples[: len(z)]


class First(nn.Module):
    """D whose logit is the first coordinate, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x[:, :1]


def trainer_of(fakes: Tensor, **options: Any) -> Trainer:
    return Trainer(Constant(fakes), First(), z_dim=2, fabric=make_fabric("cpu"), **options)


def measured(reals: Tensor, fakes: Tensor, **options: Any) -> dict[str, float]:
    return Probe(reals, **options).measure(trainer_of(fakes))


@pytest.mark.filterwarnings("error")
def test_one_sample_has_no_spread() -> None:
    numbers = measured(torch.tensor([[1.0, 0], [2, 0]]), torch.tensor([[0.0, 0]]))
    assert numbers["d_auc"] == 1
    assert "d_gap" not in numbers
    assert all(map(math.isfinite, numbers.values()))


def test_who_leads() -> None:
    reals = torch.tensor([[1.0, 0], [3, 0], [5, 0], [7, 0]]).repeat(2, 1)
    fakes = torch.tensor([[0.0, 0], [2, 0], [4, 0], [5, 0]])
    numbers = measured(reals, fakes)
    assert numbers["d_auc"] == pytest.approx((1 + 2 + 3.5 + 4) / 16)  # pairs in which the real one is ahead
    gap = 4 - 2.75
    spread = sqrt((reals[:4, 0].var() + fakes[:, 0].var()) / 2)
    assert numbers["d_gap"] == pytest.approx(gap / spread, rel=1e-5)


def test_what_d_knows_by_heart() -> None:
    reals = torch.full((8, 2), 10.0) + torch.randn(8, 2) * 1e-3
    fakes = torch.zeros(4, 2)
    knows_all = measured(reals, fakes, held_out=torch.full((4, 2), 10.0))
    knows_half = measured(reals, fakes, held_out=torch.full((4, 2), 5.0))
    assert knows_all["overfit"] == pytest.approx(0, abs=1e-3)
    assert knows_half["overfit"] == pytest.approx(0.5, abs=1e-3)
    assert knows_half["held_out_auc"] == 1


def test_how_different_samples_are() -> None:
    reals = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    halved = measured(reals, reals[:32] / 2)
    assert halved["diversity"] == pytest.approx(0.5, rel=1e-4)
    assert halved["nearest"] == pytest.approx(0.5, rel=1e-4)
    assert measured(reals, torch.zeros(32, 3))["diversity"] == 0
    assert measured(reals, reals[:32])["swd"] == 0
    assert measured(reals, reals[:32])["swd_floor"] > 0


def test_copies_of_training_samples() -> None:
    reals = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    assert measured(reals, reals[:32] + 1e-4, everything=reals)["copies"] < 0.01
    others = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    assert 0.7 < measured(reals, others, everything=reals)["copies"] < 1.5


def test_the_range_of_values() -> None:
    numbers = measured(torch.linspace(-1, 1, 16).reshape(8, 2), torch.full((4, 2), 0.3))
    assert (numbers["real_min"], numbers["fake_max"]) == (-1, pytest.approx(0.3))
    assert numbers["at_bound"] == 0
    assert numbers["at_edge"] == 1


def test_a_checkerboard_is_seen() -> None:
    reals = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    board = reals[:8] + torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)

    class Mean(First):
        def forward(self, x: Tensor) -> Tensor:
            return self.weight * x.mean((1, 2, 3))[:, None]

    def ripple(fakes: Tensor) -> float:
        trainer = Trainer(Constant(fakes), Mean(), z_dim=2, fabric=make_fabric("cpu"))
        return Probe(reals).measure(trainer)["checkerboard"]

    assert ripple(reals[:8]) == pytest.approx(1)
    assert ripple(board) > 10


def test_dead_units_are_counted() -> None:
    generator = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        generator[0].bias.copy_(torch.tensor([-100.0, -100.0, -100.0, 100.0]))
    trainer = Trainer(generator, First(), z_dim=2, fabric=make_fabric("cpu"))
    numbers = Probe(torch.randn(16, 2)).measure(trainer)
    assert numbers["g_dead"] == 0.75
    assert "d_dead" not in numbers  # it has no such layer


def test_how_large_a_step_is() -> None:
    trainer = trainer_of(torch.ones(4, 2))
    probe = Probe(torch.randn(8, 2))
    probe.remember(trainer)
    with torch.no_grad():
        trainer.generator.samples.mul_(1.1)
    numbers = probe.measure(trainer)
    assert numbers["g_step"] == pytest.approx(0.1, rel=1e-4)
    assert "g_step" not in probe.measure(trainer)


def test_how_large_the_first_step_was(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, "g_optimizer.lr=0.5", "watch.mode=warn", steps=8)
    zeroth, first, second = read_rows(run.probes.path)
    assert "g_first_step" not in zeroth
    assert "g_first_step" not in second
    assert first["g_first_step"] > 1 > first["d_first_step"] > 0


def test_fakes_that_moved() -> None:
    reals = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    trainer = trainer_of(torch.zeros(4, 2))
    probe = Probe(reals)
    assert "moved" not in probe.measure(trainer)
    with torch.no_grad():
        trainer.generator.samples.add_(torch.tensor([3.0, 4.0]))
    distance = torch.pdist(reals[:4]).mean()
    assert probe.measure(trainer)["moved"] == pytest.approx(float(5 / distance), rel=1e-4)


def test_data_are_looked_through_one_sample_at_a_time() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (400, 64, 64, 3), dtype=np.uint8)
    pictures[1], pictures[2:5] = pictures[0], 7
    made = load(pictures)
    tracemalloc.start()
    try:
        found = about_data(made)
        assert tracemalloc.get_traced_memory()[1] < pictures.nbytes / 20
    finally:
        tracemalloc.stop()
    assert found == {"data_count": 400, "data_constant": 3 / 400, "data_repeated": pytest.approx(3 / 400)}


def test_measuring_touches_nothing() -> None:
    """Running statistics, the power iteration of spectral norm, weights and all randomness stay as they were."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    discriminator = nn.Sequential(torch.nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1)))
    trainer = Trainer(generator, discriminator, z_dim=2, fabric=make_fabric("cpu"))
    before = copy.deepcopy((generator.state_dict(), discriminator.state_dict()))
    random = torch.get_rng_state()
    probe = Probe(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))
    numbers = probe.measure(trainer)
    again = probe.measure(trainer)
    assert torch.equal(torch.get_rng_state(), random)
    for old, new in zip(before, (generator.state_dict(), discriminator.state_dict()), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert {name: again[name] for name in numbers} == numbers
    assert again["moved"] == 0


# Samples that are not trained on.


@pytest.mark.parametrize(("count", "expected"), [(20, 0), (40, 2), (200, 12), (1000, 31), (60_000, 256)])
def test_how_many_are_held_out(count: int, expected: int) -> None:
    chosen = held_out(count)
    assert len(chosen) == len(set(chosen.tolist())) == expected
    assert np.array_equal(chosen, held_out(count))


def test_none_left_is_refused() -> None:
    with pytest.raises(DataError, match="held_out is 5 and the data has only 5 samples: none would be left"):
        held_out(5, 5)


def test_what_is_held_out_is_never_shown(data: Data, tmp_path: Path) -> None:
    made = session(data, Run(tmp_path / "r"))
    aside = {row.tobytes() for row in data.tensor(held_out(len(data))).numpy()}
    shown = {row.numpy().tobytes() for index in range(31) for row in made._feed.batch(index)}
    assert len(aside) == 16
    assert len(shown) == 512 - 16
    assert not aside & shown


def test_all_are_shown_where_none_is_held_out(data: Data, tmp_path: Path) -> None:
    made = session(data, Run(tmp_path / "r"), "held_out=0")
    assert len({row.numpy().tobytes() for index in range(16) for row in made._feed.batch(index)}) == 512


# What it says.


def test_a_watched_training_is_the_same(data: Data, tmp_path: Path) -> None:
    watched, alone = Run(tmp_path / "w"), Run(tmp_path / "a")
    train(data, watched)
    train(data, alone, "watch=off")
    assert not alone.probes.path.exists()
    left, right = (Sampler(run, "cpu", checkpoint="last").sample(8) for run in (watched, alone))
    assert np.array_equal(left, right)


def test_measurements_are_rows(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run)
    rows = read_rows(run.probes.path)
    assert [row["step"] for row in rows] == [0, 4, 8, 12, 16, 20, 24]
    assert rows[0]["data_count"] == 512
    assert rows[0]["opposes"] == 1
    assert all("g_step" in row for row in rows[1:])


def test_findings_are_said_once_and_ended_once(data: Data, tmp_path: Path) -> None:
    lines: list[str] = []
    run = Run(tmp_path / "r")
    made = session(data, run, "watch.mode=warn", steps=40, say=lines.append)
    waits = iter([0.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0])
    row = made._watch.log
    made._watch.log = lambda it: row(it | {"data_wait": next(waits)})
    made.train()
    began, ended = events(run, "finding_began"), events(run, "finding_ended")
    assert [it["evidence"]["kind"] for it in began if it["evidence"]["kind"] == "data_starved"] == ["data_starved"]
    assert [it["evidence"]["kind"] for it in ended if it["evidence"]["kind"] == "data_starved"] == ["data_starved"]
    assert any(line.startswith("! data_starved since step 8: ") for line in lines)
    assert "data_starved is over at step 28" in lines


def test_a_watch_that_fails_ends_nothing(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Probe, trainer: Trainer) -> dict[str, float]:
        raise ZeroDivisionError("a bad day")

    monkeypatch.setattr(Probe, "measure", fail)
    lines: list[str] = []
    run = Run(tmp_path / "r")
    assert train(data, run, say=lines.append).state is State.FINISHED
    assert lines == ["Warning: the watch failed (ZeroDivisionError: a bad day); training goes on"]
    assert [it["evidence"] for it in events(run, "watch_failed")] == [{"error": "ZeroDivisionError: a bad day"}]


def test_a_detector_that_fails_silences_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(course: Course) -> None:
        raise ZeroDivisionError("a bad day")

    detectors = {**DETECTORS, "dead_start": Detector(crash, frozenset({"log"}))}
    monkeypatch.setattr("poise.diagnosis.diagnosis.DETECTORS", detectors)
    lines: list[str] = []
    watch = Watch(Run(tmp_path), {}, lambda: pytest.fail("nothing is measured"), say=lines.append)
    for step in range(8):
        watch.log({"step": step, "data_wait": 0.9})
    assert [line[:16] for line in lines] == ["Warning: the wat", "! data_starved s"]


def test_one_measurement_a_step_after_a_resume(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, steps=10)
    train(data, run, steps=24)
    assert [row["step"] for row in read_rows(run.probes.path)] == [0, 4, 8, 12, 16, 20, 24]


def test_it_watches_a_loop_of_ones_own(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    run.path.mkdir()
    trainer = Trainer(nn.Linear(2, 2), First(), z_dim=2, fabric=make_fabric("cpu"))
    watch = Watch(run, {}, lambda: Probe(data.tensor(np.arange(32))), 5)
    trainer.fit(data, steps=10, batch=16, hooks=[watch])
    assert [row["step"] for row in read_rows(run.probes.path)] == [0, 5, 10]


# What it does.


def poison(trainer: Trainer) -> None:
    with torch.no_grad():
        next(trainer.discriminator.parameters()).view(-1)[0] = torch.nan


class Spoilt:
    """Batches of which one holds NaN."""

    def __init__(self, feed: Any, bad: set[int]) -> None:
        self.feed, self.bad, self.place = feed, bad, feed.place

    def batch(self, index: int) -> Tensor:
        batch = self.feed.batch(index)
        return batch * torch.nan if index in self.bad else batch


def test_one_bad_batch_is_left_out(data: Data, tmp_path: Path) -> None:
    lines: list[str] = []
    run = Run(tmp_path / "r")
    made = session(data, run, say=lines.append)
    made._feed = Spoilt(made._feed, {9})
    outcome = made.train()
    assert (outcome.state, outcome.trainer.steps) == (State.FINISHED, 24)
    assert [it["step"] for it in events(run, "skipped_update")] == [9]
    assert not run.recovery()
    assert any(line.startswith("Left out the update of step 9: ") for line in lines)
    assert all(torch.isfinite(it).all() for it in outcome.trainer.generator.parameters())


def test_broken_weights_go_back_with_one_change(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    outcome = train(data, run, hooks=[At(15, poison)])
    assert (outcome.state, outcome.trainer.steps) == (State.FINISHED, 24)
    (rolled,) = events(run, "rolled_back")
    assert rolled["step"] == 15
    assert rolled["action"] == "went back to step 12, with g_optimizer.lr and d_optimizer.lr times 0.5"
    (step,) = run.recovery()["steps"]
    assert (step["kind"], step["at_step"], step["back_to"], step["done"]) == ("non_finite", 15, 12, True)
    assert outcome.trained_steps == 15 + 12
    assert [row["step"] for row in read_rows(run.log.path)] == [4, 8, 12, 16, 20, 24]
    rates = [group["lr"] for group in outcome.trainer._players["D"].optimizer.param_groups]
    assert rates == [parse(resolve(data, "relativistic").model_dump(by_alias=True)).d_optimizer.lr / 2]


def test_what_stays_severe_is_asked_for_again(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that goes on with a severe finding, such as after a remedy, has five measurements."""
    run = Run(tmp_path / "r")
    run.path.mkdir()
    lost = {"swd": 1.0, "swd_floor": 0.1}
    for step in range(21):
        run.probes.append({"step": step} | lost)
    monkeypatch.setattr(Probe, "measure", lambda self, trainer: dict(lost))
    trainer = Trainer(nn.Linear(2, 2), First(), z_dim=2, fabric=make_fabric("cpu"))
    trainer.steps = 20
    watch = Watch(
        run, {"steps": 40}, lambda: Probe(data.tensor(np.arange(32))), 1, acts_on=lambda it: it.severity == "severe"
    )
    trainer.fit(data, steps=40, batch=16, hooks=[watch])
    assert (trainer.steps, trainer.stop_reason) == (25, "the watch: no_progress")


def test_the_settings_of_a_run_stay_what_was_asked_for(data: Data, tmp_path: Path) -> None:
    """So that the same command goes on, with what was changed."""
    run = Run(tmp_path / "r")
    train(data, run, steps=16, hooks=[At(15, poison)])
    made = session(data, run, steps=24)
    assert made.config.d_optimizer.lr == 2 * made.trainer._players["D"].optimizer.param_groups[0]["lr"]
    assert made.train().trained_steps == 8


def test_a_rollback_that_was_killed_is_finished(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, hooks=[At(15, poison)])
    told = run.recovery()
    told["steps"][0] |= {"done": False, "back_to": 20}
    run.write_recovery(told)
    assert run.checkpoints.last().step == 24
    outcome = train(data, run)
    assert outcome.trained_steps == 4
    assert run.recovery()["steps"][0]["done"]


def test_the_same_failure_is_not_tried_unchanged_and_given_up(data: Data, tmp_path: Path) -> None:
    class Always(At):
        def after_step(self, trainer: Trainer) -> None:
            if trainer.steps >= self.step:
                self.do(trainer)

    run = Run(tmp_path / "r")
    lines: list[str] = []
    safe = resolve(data, "points", {}, SMALL)
    outcome = train(data, run, hooks=[Always(15, poison)], safe=safe, say=lines.append)
    assert outcome.state is State.FAILED
    changes = [it["change"] for it in run.recovery()["steps"]]
    assert len(changes) == len(set(changes)) == 3
    assert changes[-1] == "a safe recipe's settings"
    assert outcome.reason.startswith("non_finite is severe (step 15: the discriminator's loss is not finite ")
    assert outcome.reason.endswith("and nothing is left to be tried")
    found = diagnose({}, events=read_rows(run.events.path))
    assert [(it.kind, it.severity, it.since_step) for it in found] == [("non_finite", Severity.SEVERE, 15)]
    assert run.checkpoints.best() is not None
    assert Sampler(run, "cpu").sample(4).shape == (4, 2)
    with pytest.raises(RunError, match="the same settings would fail in the same way"):
        train(data, run)


def test_a_run_that_was_gone_on_with_is_begun_anew(data: Data, tmp_path: Path) -> None:
    """Its status tells of steps that no checkpoint holds any more."""
    run = Run(tmp_path / "r")
    train(data, run, "watch.rollbacks=1", steps=8)
    assert run.status().step == 8
    settings, safe = ("watch.rollbacks=1",), resolve(data, "points", {}, SMALL)
    outcome = train(data, run, *settings, hooks=[At(9, poison)], safe=safe)
    assert outcome.state is State.FINISHED
    assert [it["back_to"] for it in run.recovery()["steps"]] == [0]
    assert run.status().step == 24


def test_a_change_that_is_allowed_is_not_undone_by_what_was_tried(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, steps=16, hooks=[At(15, poison)])
    tried, lines = run.recovery(), []
    outcome = train(data, run, "g_optimizer.lr=1e-6", allow_change=True, say=lines.append)
    rates = {name: it.optimizer.param_groups[0]["lr"] for name, it in outcome.trainer._players.items()}
    assert rates == {"G": 1e-6, "D": resolve(data, "relativistic").d_optimizer.lr}
    assert not run.recovery()
    assert json.loads((run.path / "recovery.1.json").read_text()) == tried
    assert "What was changed to save the run is undone, and kept in recovery.1.json" in lines


def test_nothing_is_done_where_it_is_to_warn(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    with pytest.raises(NonFiniteError):
        train(data, run, "watch.mode=warn", hooks=[At(15, poison)])
    assert not run.recovery()
    assert run.status().hopeless


def test_the_best_of_before_a_rollback_is_kept(data: Data, tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    for step in (4, 8, 12):
        checkpoints.save(step, 64 * step, b"before %d" % step)
        if step == 8:
            checkpoints.mark_best(8, "swd", 0.1)
    checkpoints.go_back(4)
    assert [(it.step, it.retired) for it in checkpoints.all()] == [(8, True)]
    assert checkpoints.last() is None
    checkpoints.save(8, 512, b"after 8")
    checkpoints.save(16, 1024, b"after 16")
    assert checkpoints.best().read() == b"before 8"
    assert checkpoints.last().step == 16
    checkpoints.mark_best(16, "swd", 0.05)
    assert [(it.step, it.retired) for it in checkpoints.all()] == [(8, False), (16, False)]


@pytest.mark.parametrize("moved", [[], [".safetensors"], [".safetensors", ".json"]])
def test_going_back_that_was_killed_is_finished(tmp_path: Path, moved: Sequence[str]) -> None:
    checkpoints = Run(tmp_path).checkpoints
    for step in (4, 8, 12):
        checkpoints.save(step, 64 * step, b"before %d" % step)
        if step == 8:
            path = checkpoints.all()[-1].path
            checkpoints.mark_best(8, "swd", 0.1)
    for suffix in moved:
        it = path.with_suffix(suffix)
        it.rename(it.with_stem("00000008-retired"))
    for _ in range(2):
        checkpoints.go_back(6)
        assert [(it.step, it.retired) for it in checkpoints.all()] == [(8, True)]
    checkpoints.save(9, 576, b"after 9")
    assert checkpoints.best().read() == b"before 8"


def test_nothing_is_left_of_a_course_that_was_given_up(data: Data, tmp_path: Path) -> None:
    """Neither pictures of steps that are not done nor the first measurement, which is made again."""

    def fail(trainer: Trainer) -> None:
        run.samples.mkdir(exist_ok=True)
        (run.samples / "00000015.png").touch()
        poison(trainer)

    run = Run(tmp_path / "r")
    rare = ("checkpoint.every_steps=100", "evaluate.every_kimg=100", "samples.first_step=8")
    train(data, run, *rare, hooks=[At(15, fail)])
    assert run.recovery()["steps"][0]["back_to"] == 0
    assert [row["step"] for row in read_rows(run.probes.path)] == [0, 4, 8, 12, 16, 20, 24]
    assert list(run.pictures()) == [8, 16, 24]


def test_a_recovery_that_cannot_be_read_is_refused(data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(data, run, steps=4)
    (run.path / "recovery.json").write_text("{")
    with pytest.raises(RunError, match=r"recovery.json cannot be read .* mend it, or remove it"):
        session(data, run)


# Remedies.


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("kind", [*REMEDIES, "huge_steps"])
def test_remedies_are_settings(data: Data, kind: str, name: str) -> None:
    """Each changes what its name says, and what comes out is a config."""
    settings = resolve(data, name).model_dump(mode="json", by_alias=True)
    for remedy in remedies(kind, {"g_step": 0.5}):
        change = remedy(settings)
        if change is not None:
            assert change.name
            assert any(settings[field] != value for field, value in change.settings.items())
            parse(settings | dict(change.settings))


@pytest.mark.parametrize(("size", "factor"), [(0.06, 0.1), (0.5, 0.01), (25.0, 1e-3)])
def test_steps_become_small_at_once(data: Data, size: float, factor: float) -> None:
    settings = resolve(data, "relativistic").model_dump(mode="json", by_alias=True)
    (remedy,) = remedies("huge_steps", {"d_step": size})
    change = remedy(settings)
    assert change.settings["d_optimizer"]["lr"] == pytest.approx(factor * settings["d_optimizer"]["lr"])
    assert change.anew


@pytest.mark.parametrize(
    ("schedule", "halved"),
    [
        ({"class": "constant", "value": 1e-3}, {"class": "constant", "value": 5e-4}),
        ({"class": "linear", "from": 1e-3, "to": 0.0, "end": 9.0}, {"from": 5e-4, "to": 0.0, "end": 9.0}),
        ({"class": "step", "values": [1e-3, 1e-4], "at": [9.0]}, {"values": [5e-4, 5e-5], "at": [9.0]}),
    ],
)
def test_remedies_know_schedules(data: Data, schedule: dict[str, Any], halved: dict[str, Any]) -> None:
    settings = resolve(data, "relativistic").model_dump(mode="json", by_alias=True)
    settings["d_optimizer"]["lr"] = schedule
    settings = parse(settings).model_dump(mode="json", by_alias=True)
    calm, *_ = REMEDIES["non_finite"]
    assert calm(settings).settings["d_optimizer"]["lr"] == settings["d_optimizer"]["lr"] | halved
    as_fast, *_ = REMEDIES["generator_wins"]
    assert as_fast(settings) is None


FIRM, CALM_G = "weights of r1, r2 times 2", "g_optimizer.lr times 0.5"


@pytest.mark.parametrize(
    ("recipe", "kinds", "expected"),
    [
        ("vanilla", ("mode_collapse",) * 3, ["penalties.r1 added, weight 1", "weights of r1 times 2", SAFE]),
        ("vanilla", ("no_progress", "no_progress"), [SAFE]),
        ("vanilla", ("no_progress", "mode_collapse", "mode_collapse"), [SAFE, FIRM, CALM_G]),
        ("relativistic", ("mode_collapse",) * 3, [FIRM, CALM_G]),  # what was asked for is the safe recipe, and failed
    ],
)
def test_the_last_rung_is_a_safe_recipe_and_none_is_tried_twice(
    data: Data, tmp_path: Path, recipe: str, kinds: Sequence[str], expected: list[str]
) -> None:
    run = Run(tmp_path / "r")
    run.prepare()
    recovery = Recovery(run, resolve(data, recipe), resolve(data, "relativistic"))
    for kind in kinds:
        step = recovery.next(Finding(kind, Severity.SEVERE, 100, 400, {}, "", ""), 400, 0.5)
        if step is not None:
            recovery.begin(step)
    assert [step.change for step in recovery.steps] == expected


def test_when_it_acts() -> None:
    assert acts("auto", "non_finite")
    assert acts("auto", "dead_start")
    assert not acts("auto", "mode_collapse")
    assert all(acts("act", kind) for kind in (*REMEDIES, *HOPELESS, "huge_steps"))
    assert not acts("act", "data_starved")
    assert not any(acts(mode, kind) for mode in ("off", "warn") for kind in REMEDIES)


def test_given_up_is_a_failure_of_the_command(poise: Callable[..., Any], tmp_path: Path) -> None:
    """A loss of one's own with a wrong sign: no setting helps, and the rest of the time is not wasted."""
    package = tmp_path / "wrong_sign_part.py"
    package.write_text(
        "from poise.losses import LOSSES\n"
        "vanilla = LOSSES['vanilla']\n"
        "def wrong():\n"
        "    return vanilla._replace(g=lambda real, fake: -vanilla.g(real, fake))\n"
    )
    arguments = ["train", "ring8", "--run", "r", "--steps", "40", "--watch", "act", "--trust", "wrong_sign_part"]
    assignments = [it for text in (*SMALL, "loss.import=wrong_sign_part:wrong") for it in ("--set", text)]
    done = poise(*arguments, *assignments, code=1)
    assert "wrong_sign: nothing is left to be tried" in done.stdout + done.stderr
    assert "Given up at step 0" in done.stdout + done.stderr
    assert json.loads((tmp_path / "r" / "status.json").read_text())["state"] == "failed"
