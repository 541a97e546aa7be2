"""A run that was killed, then trained by the same command, equals one that never stopped: bit for bit, on the CPU.

Processes are really killed (SIGKILL), at several moments; one of them while a checkpoint is being written.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from poise.runs import Run, State

STEPS = 60
SETTINGS = ["--set", "log.every_steps=4", "--set", "checkpoint.every_steps=7", "--set", "evaluate.every_kimg=0.5"]
SMALL = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--batch", "32"]
TIMES = ("seconds", "img_per_s", "data_wait")


def command(directory: Path, *options: str, steps: int = STEPS) -> list[str]:
    train = ["-m", "poise", "train", "images.npy", "--run", str(directory), "--steps", str(steps)]
    return [sys.executable, *train, *SETTINGS, *SMALL, *options]


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A directory with a few images, and the variables that processes started in it get."""
    directory = tmp_path_factory.mktemp("work")
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    np.save(directory / "images.npy", images)
    before = Path.cwd()
    os.chdir(directory)
    yield {**os.environ, "POISE_CACHE": str(directory / "cache")}
    os.chdir(before)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    directory = tmp_path_factory.mktemp("straight") / "run"
    subprocess.run(command(directory), env=environment, check=True, capture_output=True)
    return directory


def rows(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in path.read_text().splitlines()]


def assert_equal_runs(left: Path, right: Path) -> None:
    assert rows(left / "log.jsonl") == rows(right / "log.jsonl")
    assert rows(left / "metrics.jsonl") == rows(right / "metrics.jsonl")
    last = f"checkpoints/{STEPS:08d}.safetensors"
    one, other = load_file(left / last), load_file(right / last)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name].numpy().tobytes() != other[name].numpy().tobytes()] == []
    for picture in (right / "samples").iterdir():  # one that was stopped has a picture of that step besides
        with Image.open(left / "samples" / picture.name) as one_picture, Image.open(picture) as other_picture:
            assert one_picture.tobytes() == other_picture.tobytes()


def kill_when(process: subprocess.Popen[bytes], now: Callable[[], bool]) -> None:
    """SIGKILL the process as soon as ``now()``."""
    deadline = time.monotonic() + 120
    while not now():
        assert process.poll() is None, "the process ended before the moment came"
        assert time.monotonic() < deadline, "the moment never came"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def logged_steps(directory: Path) -> int:
    log = directory / "log.jsonl"
    return log.read_bytes().count(b"\n") * 4 if log.exists() else 0


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first step": lambda run: (run / "config.yaml").exists(),
    "before the first checkpoint": lambda run: logged_steps(run) >= 4,
    "between checkpoints": lambda run: logged_steps(run) >= 24,
    "while a checkpoint is written": lambda run: any((run / "checkpoints").glob(".*.tmp")),
    "near the end": lambda run: logged_steps(run) >= 44,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_then_the_same_command(moment: str, straight: Path, environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory), env=environment, stdout=subprocess.DEVNULL)
    kill_when(process, lambda: MOMENTS[moment](directory))
    assert Run(directory).state() in (State.KILLED, None)
    subprocess.run(command(directory), env=environment, check=True, capture_output=True)
    assert_equal_runs(directory, straight)


def test_killed_again_and_again(straight: Path, environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    for steps in (8, 20, 36):
        process = subprocess.Popen(command(directory), env=environment, stdout=subprocess.DEVNULL)
        kill_when(process, lambda least=steps: logged_steps(directory) >= least)
    subprocess.run(command(directory), env=environment, check=True, capture_output=True)
    assert_equal_runs(directory, straight)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals, straight: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory), env=environment, stdout=subprocess.PIPE, text=True)
    while logged_steps(directory) < 4:
        assert process.poll() is None
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Stopped at step" in output
    assert f"To go on: poise train images.npy --run {directory}" in output
    assert Run(directory).state() is State.STOPPED
    assert Run(directory).steps_at_risk() == 0
    subprocess.run(command(directory), env=environment, check=True, capture_output=True)
    assert_equal_runs(directory, straight)


def test_sigterm_again_and_again_loses_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory, steps=1_000_000), env=environment, stdout=subprocess.PIPE, text=True)
    while logged_steps(directory) < 8:
        assert process.poll() is None
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.count("SIGTERM: saving, then evaluating; Ctrl-C to end at once") == 1
    assert Run(directory).state() is State.STOPPED
    assert Run(directory).steps_at_risk() == 0


def test_a_longer_end_on_a_finished_run_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    constant = ("--recipe", "relativistic")  # rates that fall to the end of the run depend on where that is
    subprocess.run(command(directory, *constant, steps=30), env=environment, check=True, capture_output=True)
    assert rows(directory / "log.jsonl")[-1]["partial"] is True
    again = subprocess.run(command(directory, *constant), env=environment, check=True, capture_output=True, text=True)
    assert "Going on from step 30" in again.stdout
    whole = tmp_path / "whole"
    subprocess.run(command(whole, *constant), env=environment, check=True, capture_output=True)
    assert rows(directory / "log.jsonl") == rows(whole / "log.jsonl")


def test_a_time_limit_ends_cleanly(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    limited = command(directory, "--max-seconds", "0.2", steps=100_000)
    output = subprocess.run(limited, env=environment, check=True, capture_output=True, text=True).stdout
    assert "--max-seconds 0.2" in output
    assert Run(directory).state() is State.STOPPED


def test_poise_stop(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory, steps=1_000_000), env=environment, stdout=subprocess.DEVNULL)
    while logged_steps(directory) < 8:
        assert process.poll() is None
    assert Run(directory).state() is State.RUNNING
    stop = [sys.executable, "-m", "poise", "stop", str(directory)]
    stopped = subprocess.run(stop, env=environment, check=True, capture_output=True, text=True)
    assert "Stopped run at step" in stopped.stdout
    assert process.wait(timeout=60) == 0
    assert Run(directory).status().reason == "poise stop"
    refused = subprocess.run(stop, env=environment, check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "is not running (it is stopped)" in refused.stderr


def test_the_second_process_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory, steps=1_000_000), env=environment, stdout=subprocess.DEVNULL)
    while logged_steps(directory) < 4:
        assert process.poll() is None
    second = subprocess.run(command(directory), env=environment, check=False, capture_output=True, text=True)
    assert second.returncode == 2
    assert "is being trained by another process" in second.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("damage", ["truncated", "changed", "record"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    damage: str, straight: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    process = subprocess.Popen(command(directory), env=environment, stdout=subprocess.DEVNULL)
    kill_when(process, lambda: logged_steps(directory) >= 40)
    last = Run(directory).checkpoints.last().path
    content = last.read_bytes()
    if damage == "truncated":
        last.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        last.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        last.with_suffix(".json").write_text("not json")
    again = subprocess.run(command(directory), env=environment, check=True, capture_output=True, text=True)
    assert f"Warning: {last}" in again.stdout
    assert "instead" in again.stdout
    assert_equal_runs(directory, straight)


def test_no_good_checkpoint_is_no_fresh_start(environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    subprocess.run(command(directory, steps=20), env=environment, check=True, capture_output=True)
    for path in (directory / "checkpoints").glob("*.safetensors"):
        path.write_bytes(b"")
    before = (directory / "log.jsonl").read_bytes()
    again = subprocess.run(command(directory), env=environment, check=False, capture_output=True, text=True)
    assert again.returncode == 2
    assert "has no good checkpoint left" in again.stderr
    assert (directory / "log.jsonl").read_bytes() == before
