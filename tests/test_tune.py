"""Searching: trials that are pruned, fail, are killed and go on; studies that are resumed and lose their storage."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poise.config import differences, parse, parse_file
from poise.data import load
from poise.errors import StorageError
from poise.recipes import resolve
from poise.runs import Run, State
from poise.trainer import Hook, Trainer
from poise.tuning import STUDIES, Pruner, Space
from poise.tuning.goal import Goal
from poise.tuning.ledger import Ledger
from poise.tuning.pruning import Reports
from poise.tuning.record import Records
from poise.tuning.results import importances
from poise.tuning.storage import quietly
from poise.tuning.verdict import Verdict, VerdictState

optuna = pytest.importorskip("optuna")

SMALL = [
    *("generator.width=8", "discriminator.width=8", "batch=32", "z_dim=2", "execution=eager"),
    *("evaluate.samples=64", "kimg=1", "evaluate.every_kimg=0.25", "evaluate.metrics=swd"),
]


def tuning(*options: str | Path, recipe: str = "relativistic", space: str = "space.yaml") -> list[str]:
    """A command that searches in next to no time."""
    sets = [part for assignment in SMALL for part in ("--set", assignment)]
    return ["tune", "ring8", "--recipe", recipe, "--space", space, "--study", "s", *sets, *map(str, options)]


@pytest.fixture(autouse=True)
def _space(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("g_optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}\n")


def write_space(tmp_path: Path, text: str) -> None:
    (tmp_path / "space.yaml").write_text(text)


def trials(done: Any) -> list[dict[str, Any]]:
    return json.loads(done.stdout)["trials"]


# The way through.


def test_search_then_train_with_the_best(poise: Any, tmp_path: Path) -> None:
    done = poise(*tuning("--trials", 3))
    directory = tmp_path / "studies" / "s"
    assert "Study s in studies/s: the lowest swd of ring8 in 1 kimg" in done.stdout
    assert "g_optimizer.lr: 0.0001 to 0.01 (log)" in done.stdout
    assert "next    poise train ring8 --recipe studies/s/best.yaml" in done.stdout
    facts = json.loads(poise(*tuning("--trials", 3, "--json")).stdout)
    assert facts["counts"] == {"complete": 3}
    values = [trial["value"] for trial in facts["trials"]]
    assert facts["best"]["value"] == min(values)
    # The first trial is the recipe as it is.
    base = parse(parse_file(directory / "trials" / facts["trials"][0]["run"] / "config.yaml"))
    assert not differences(base, resolve(load("ring8"), "relativistic", {}, [*SMALL, "watch.rollbacks=0"]))
    # The recipe file gives the settings of the best, and trains.
    best = parse(parse_file(directory / "trials" / facts["best"]["run"] / "config.yaml"))
    assert not differences(resolve(load("ring8"), str(directory / "best.yaml")), best, ignore=["watch"])
    assert "watch:" not in (directory / "best.yaml").read_text()
    trained = poise("train", "ring8", "--recipe", directory / "best.yaml", "--run", "again")
    assert f"(swd {facts['best']['value']:.4g})" in trained.stdout


def test_the_same_command_goes_on(poise: Any) -> None:
    first = trials(poise(*tuning("--trials", 2, "--json")))
    again = poise(*tuning("--trials", 2, "--json"))
    assert trials(again) == first
    assert "Trial 000" not in again.stderr
    more = trials(poise(*tuning("--trials", 3, "--json")))
    assert more[:2] == first
    # What is drawn follows from the trial's number, wherever the study was left.
    straight = trials(poise(*tuning("--trials", 3, "--json", "--study", "t")))
    assert [(it["set"], it["value"]) for it in straight] == [(it["set"], it["value"]) for it in more]


def test_settings_name_the_study(poise: Any, tmp_path: Path) -> None:
    command = [part for part in tuning("--trials", 1) if part not in ("--study", "s")]
    poise(*command)
    poise(*command, "--trials", "2")
    (one,) = (tmp_path / "studies").iterdir()
    poise(*command, "--set", "kimg=0.5")
    assert len(list((tmp_path / "studies").iterdir())) == 2
    assert Records(one / "trials").all()[1].verdict is not None


def test_the_page_needs_nothing_from_elsewhere(poise: Any, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    poise(*tuning("--trials", 5))
    page = (tmp_path / "studies/s/study.html").read_text()
    for heading in ("About", "Importance", "History", "Slice: g_optimizer.lr", "Curves", "Trials"):
        assert f"<h2>{heading}</h2>" in page
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", page)
    assert page.count("Plotly.newPlot(") >= 4


def test_the_default_space_and_the_default_recipe(poise: Any) -> None:
    options = ["--set", "kimg=0.5", "--set", "evaluate.samples=64", "--set", "generator.width=8"]
    facts = json.loads(poise("tune", "digits", "--trials", 2, *options, "--json").stdout)
    assert facts["metric"] == "kid"
    assert [trial["state"] for trial in facts["trials"]] == ["complete"] * 2
    assert any(it.startswith("penalties=") for it in facts["best"]["set"])


def test_what_the_data_decided_is_said(poise: Any) -> None:
    done = poise(*tuning("--trials", 1, recipe="auto"))
    assert "  loss = relativistic: vectors: " in done.stdout
    assert "  batch = " not in done.stdout  # it was set


# Trials that do not go to their end.


def test_broken_numbers_prune_a_trial_with_the_reason(poise: Any, tmp_path: Path) -> None:
    write_space(tmp_path, "g_optimizer.lr: [1.0e-3, 1.0e+30]\n")
    done = trials(poise(*tuning("--trials", 4, "--pruner", "none", "--json")))
    broken = [it for it in done if "g_optimizer.lr=1e+30" in it["set"]]
    assert broken
    for trial in done:
        assert trial["state"] == ("pruned" if trial in broken else "complete")
    assert all("non_finite" in trial["reason"] for trial in broken)


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_what_is_behind_is_pruned(pruner: str, poise: Any, tmp_path: Path) -> None:
    write_space(tmp_path, "g_optimizer.lr: [1.0e-3, 1.0e-7]\n")
    done = trials(poise(*tuning("--trials", 8, "--pruner", pruner, "--json")))
    pruned = [it for it in done if it["state"] == "pruned"]
    assert pruned
    for trial in pruned:
        assert re.fullmatch(r"swd [\d.e-]+ at [\d.]+ kimg is behind others", trial["reason"])
        run = Run(STUDIES / "s" / "trials" / trial["run"])
        assert run.state() is State.STOPPED
        assert run.status().nimg < 1000


class Hopeless(Hook):
    """What a guard does that sees no hope."""

    def after_step(self, trainer: Trainer) -> None:
        if trainer.steps == 20:
            trainer.stop("D has won: the gradients of G are gone")


class Breaks(Hook):
    def after_step(self, trainer: Trainer) -> None:
        if trainer.z_dim == 3:
            raise OSError("the disk is full")


def test_a_training_that_is_stopped_is_pruned_with_the_reason(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    own = ["--set", "hooks=[{import: 'test_tune:Hopeless'}]", "--trust", "test_tune"]
    done = poise(*tuning("--trials", 2, *own), code=1)
    assert "no trial of 2 came to its end: D has won: the gradients of G are gone" in done.stderr
    (row, *_) = trials(poise(*tuning("--trials", 2, *own, "--json"), code=1))
    assert (row["state"], row["reason"]) == ("pruned", "D has won: the gradients of G are gone")
    assert row["value"] is not None


def test_an_error_fails_its_trial_alone(poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    write_space(tmp_path, "z_dim: [2, 3]\n")
    own = ["--set", "hooks=[{import: 'test_tune:Breaks'}]", "--trust", "test_tune"]
    done = trials(poise(*tuning("--trials", 4, *own, "--json")))
    for trial in done:
        if "z_dim=3" in trial["set"]:
            assert (trial["state"], trial["reason"]) == ("failed", "OSError: the disk is full")
        else:
            assert trial["state"] == "complete"
    assert {"failed", "complete"} == {trial["state"] for trial in done}


# Workers.


def start(*command: str | Path, at: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "poise", *map(str, command)],
        cwd=at,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "POISE_CACHE": str(at / "cache")},
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    return output


def wait_for(now: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not now():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it never came to that: {process.communicate()[0]}")
        time.sleep(0.02)


LONG = ["--set", "kimg=10", "--set", "checkpoint.every_steps=20"]


def has_checkpoint(directory: Path, run: str = "0000") -> Callable[[], bool]:
    return lambda: Run(directory / "trials" / run).checkpoints.last() is not None


def study_rows(directory: Path, url: str | None = None) -> list[optuna.trial.FrozenTrial]:
    name = url or f"sqlite:///{directory / 'study.db'}"
    return optuna.load_study(study_name=directory.name, storage=name).get_trials()


def test_who_is_asked_to_leave_goes_on_later(tmp_path: Path) -> None:
    command, directory = tuning("--trials", 2, *LONG), tmp_path / "studies" / "s"
    process = start(*command, at=tmp_path)
    wait_for(has_checkpoint(directory), process)
    process.send_signal(signal.SIGTERM)
    assert "Stopped; all is saved. To go on: poise tune ring8" in finish(process)
    assert [it.state.name for it in study_rows(directory)] == ["FAIL", "WAITING"]
    output = finish(start(*command, at=tmp_path))
    assert "trial 0000: Going on from step" in output
    states = [(it.state.name, it.user_attrs["run"]) for it in study_rows(directory)]
    assert states == [("FAIL", "0000"), ("COMPLETE", "0000"), ("COMPLETE", "0002")]


def test_a_killed_workers_trial_is_taken_up(tmp_path: Path) -> None:
    command, directory = tuning("--trials", 2, *LONG), tmp_path / "studies" / "s"
    process = start(*command, at=tmp_path)
    wait_for(has_checkpoint(directory), process)
    process.kill()
    process.communicate()
    output = finish(start(*command, at=tmp_path))
    assert "trial 0000: Going on from step" in output
    (killed, again, other) = study_rows(directory)
    assert (killed.state.name, killed.user_attrs["reason"]) == ("FAIL", "its process was killed")
    assert (again.state.name, again.user_attrs["run"], again.params) == ("COMPLETE", "0000", killed.params)
    assert other.state.name == "COMPLETE"
    assert "2 of 2 trials are done" in finish(start(*command, at=tmp_path))


class Kills(Hook):
    """Ends its process without a word to the study, as a killed one would."""

    def after_step(self, trainer: Trainer) -> None:
        raise SystemExit(9)


def test_a_trial_that_always_kills_its_process_is_given_up(
    poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    own = ["--set", "hooks=[{import: 'test_tune:Kills'}]", "--trust", "test_tune"]
    for _ in range(3):
        poise(*tuning("--trials", 1, *own), code=9)
    given_up = poise(*tuning("--trials", 1, *own), code=1)
    assert "no trial of 1 came to its end: its process was killed" in given_up.stderr
    assert [it.state.name for it in study_rows(tmp_path / "studies" / "s")] == ["FAIL"] * 3


def test_several_workers_on_one_machine(tmp_path: Path) -> None:
    output = finish(start(*tuning("--trials", 3, "--jobs", 2), at=tmp_path))
    rows = study_rows(tmp_path / "studies" / "s")
    assert [it.state.name for it in rows] == ["COMPLETE"] * 3
    assert len({str(it.params) for it in rows}) == 3
    assert output.count("Trial 000") == 3
    assert "recipe  studies/s/best.yaml" in output


def test_a_killed_worker_is_replaced_by_the_others(tmp_path: Path) -> None:
    directory = tmp_path / "studies" / "s"
    process = start(*tuning("--trials", 3, "--jobs", 2, *LONG), at=tmp_path)
    wait_for(has_checkpoint(directory), process)
    os.kill(Run(directory / "trials/0000").status().pid, signal.SIGKILL)
    output = finish(process)
    assert "of 2 was killed (SIGKILL)" in output
    assert "trial 0000: Going on from step" in output
    complete = {it.user_attrs["run"] for it in study_rows(directory) if it.state.name == "COMPLETE"}
    assert len(complete) == 3


# What workers agree on.


def a_ledger(at: Path, silent_seconds: int = 60) -> Ledger:
    """The trials of one study, as the machine with this directory has them."""
    return Ledger(
        *("s", f"sqlite:///{at.parent / 'shared.db'}", "ours", Space.read(at.parent / "space.yaml")),
        *(Goal("swd", False), Records(at)),
        first=None,
        seed=0,
        pruner=Pruner.NONE,
        silent_seconds=silent_seconds,
        say=print,
    )


def test_a_trial_of_another_machine_is_left_to_it(tmp_path: Path) -> None:
    here, there = a_ledger(tmp_path / "here"), a_ledger(tmp_path / "there")
    here.claim(1).lock.release()  # its process is killed, and the other machine takes its trial up
    there.put_back(0, "its process was killed")
    taken = there.claim(1)
    assert (taken.trial.number, taken.record.name) == (1, "0000")
    assert here.claim(2).trial.number == 2
    assert [row.state for row in there.rows()] == ["running", "running"]


def test_a_trial_that_was_given_to_others_trains_on(tmp_path: Path) -> None:
    ledger, said = a_ledger(tmp_path / "here"), []
    claim = ledger.claim(1)
    run = ledger._records.run(claim.record.name)
    reports = Reports(claim.trial, run, "swd", 0.25, (None, 1.0), ledger.reaching, said.append)
    ledger.put_back(0, "its process was killed")
    for nimg in (250, 500):
        reports.row({"nimg": nimg, "swd": 1.0})
    assert said == ["Warning: this worker was taken for dead, and its trial was given to others; training goes on"]
    assert reports.values == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize("is_claimed", [False, True])
def test_the_result_of_who_was_taken_for_dead_counts(is_claimed: bool, tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path / "here")
    claim = ledger.claim(1)
    ledger.put_back(0, "its process was killed")
    if is_claimed:  # by another worker of this machine, which finds that the first one is still at it
        assert ledger.claim(1) is None
    verdict = Verdict(VerdictState.COMPLETE, 0.5)
    assert ledger.tell(0, replace(claim.record, verdict=verdict, values={1: 0.5}), verdict)
    (row,) = ledger.rows()
    assert (row.state, row.value, row.run) == ("complete", 0.5, "0000")
    assert ledger.claim(1) is None


def test_a_trial_whose_worker_left_no_sign_is_taken_up(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path / "here", silent_seconds=1)
    with quietly():
        left = ledger.optuna.ask()
    deadline = time.monotonic() + 20
    while (claim := ledger.claim(1)) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert claim is not None
    assert (left.number, claim.trial.number) == (0, 1)
    assert [row.number for row in ledger.rows()] == [1]


# Storages.


def test_results_of_a_storage_that_is_gone_are_refused(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path / "here")
    (tmp_path / "shared.db").unlink()
    ledger.close()
    with pytest.raises(StorageError, match="does not answer"):
        importances(SimpleNamespace(ledger=ledger))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "postgresql://me:secret@127.0.0.1:1/studies",
            "postgresql+psycopg://me:***@127.0.0.1:1/studies cannot be reached",
        ),
        ("sqlite:////nowhere/at/all.db", "storage sqlite:////nowhere/at/all.db cannot be reached: unable to open"),
        ("studies.db", "storage studies.db is not the URL of a database"),
        ("nosql://host/name", "storage nosql://host/name is not the URL of a database"),
        ("mysql://host/name", "storage mysql://host/name needs a driver that is not installed"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_refused(url: str, words: str, poise: Any) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    for _ in range(2):  # nothing is left that a second try would stumble over
        done = poise(*tuning("--trials", 1, "--storage", url), code=2)
        assert words in done.stderr
        assert "secret" not in done.stderr


def test_results_outlive_their_storage(tmp_path: Path) -> None:
    """The database goes away during a trial and never comes back: what was trained is not trained again."""
    command, directory = tuning("--trials", 3, "--silence", 4, "--set", "kimg=10"), tmp_path / "studies" / "s"
    database = tmp_path / "other.db"
    process = start(*command, "--storage", f"sqlite:///{database}", at=tmp_path)
    wait_for(has_evaluations(directory, "0001"), process)
    database.unlink()
    output = finish(process, code=1)
    assert "does not answer" in output
    assert "The trials are in studies/s and nothing of them is lost" in output
    records = Records(directory / "trials").all()
    assert [record.verdict.state for record in records[:2]] == ["complete"] * 2
    output = finish(start(*command, at=tmp_path))
    assert f"The storage has no study s: taking the {len(records)} trials of studies/s" in output
    rows = study_rows(directory)
    assert [it.state.name for it in rows] == ["COMPLETE"] * 3
    assert [it.value for it in rows[:2]] == [record.verdict.value for record in records[:2]]
    assert "Trial 0000" not in output
    assert "Trial 0001" not in output


def has_evaluations(directory: Path, run: str) -> Callable[[], bool]:
    return lambda: (directory / "trials" / run / "metrics.jsonl").exists()


def test_another_study_is_not_mixed_with_this_one(poise: Any, tmp_path: Path) -> None:
    poise(*tuning("--trials", 1))
    refused = poise(*tuning("--trials", 1, "--set", "kimg=0.5"), code=2)
    assert "studies/s holds a study with other settings, another space or another metric" in refused.stderr
    storage = ["--storage", f"sqlite:///{tmp_path / 'studies/s/study.db'}"]
    elsewhere = tuning("--trials", 1, "--set", "kimg=0.5", *storage, "--study", "elsewhere/s")
    assert "has a study s with other settings" in poise(*elsewhere, code=2).stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("...")
    foreign = poise(*tuning("--trials", 1, "--study", "./mine/"), code=2)
    assert "is not empty and holds no study" in foreign.stderr


# Bad input.


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("g_optimiser.lr: {low: 1, high: 2}", "space.yaml: g_optimiser.lr=1: there is no setting 'g_optimiser'"),
        ("g_optimizer.lr: {low: 1.0e-2, high: 1.0e-4}", "low is 0.01 and high is 0.0001, so the range is upside down"),
        ("- batch", "holds no settings"),
    ],
)
def test_a_wrong_space_is_refused(space: str, words: str, poise: Any, tmp_path: Path) -> None:
    write_space(tmp_path, space)
    assert words in poise(*tuning("--trials", 1), code=2).stderr
    assert not (tmp_path / "studies").exists()


REFUSALS: list[tuple[Sequence[str], str]] = [
    (["--pruner", "medain"], "there is no pruner 'medain' (did you mean 'median'?)"),
    (["--metric", "sdw"], "evaluate.metric is 'sdw': no checkpoint is chosen by this (did you mean 'swd'?)"),
    (["--metric", "kid"], "evaluate.metric is kid, which is not measured"),
    (["--space", "none.yaml"], "none.yaml cannot be read"),
    (["--set", "g_optimiser.lr=1"], "there is no setting 'g_optimiser'"),
]


@pytest.mark.parametrize(("options", "words"), REFUSALS)
def test_what_cannot_be_searched_is_refused(options: Sequence[str], words: str, poise: Any) -> None:
    assert words in poise(*tuning("--trials", 1, *options), code=2).stderr
