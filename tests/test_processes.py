"""Several processes train as one does, notice what happens to each other, and are refused what they cannot do.

Processes are real, and talk by gloo. ``together.py`` holds the trainings, many in one start.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch.distributed import HashStore

from poise import Trainer
from poise.cli import main
from poise.config import Config, fabric_for, parse
from poise.data import load
from poise.errors import ConfigError, DeviceError, PeerError
from poise.launch import Launched, Place, device_of_fabric_run, place
from poise.losses import LOSSES, looks_at_batch
from poise.parallel import Heartbeat, World
from poise.parallel.heartbeat import _end
from poise.recipes import resolve
from poise.runs import Run, read_rows
from poise.runs import State as RunState
from poise.session import Session
from poise.trainer import make_fabric
from together import ADAM, BATCH, POINTS, STEPS, Z_DIM, State, critic, generator, results, state_of, trained

TOLERANCE = 1e-6


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(size: int, *command: str | Path, environment: Mapping[str, str] | None = None) -> list[subprocess.Popen[str]]:
    """Processes that meet each other, as ``poise train --devices`` starts them."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **(environment or {})}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**common, "POISE_LAUNCHED": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


# The same batch gives the same weights.


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, State]]:
    """A directory with a state that one process saved; and what one process gets."""
    directory = tmp_path_factory.mktemp("together")
    torch.manual_seed(0)
    trained(make_fabric("cpu"), steps=2).save(directory / "alone.half")
    return directory, results(make_fabric("cpu"))


def furthest(left: State, right: State) -> tuple[float, str]:
    """How far apart two states are, in units of 1 or of the greater number, and where."""
    assert left.keys() == right.keys()
    return max(
        (float(((it - right[name]) / right[name].abs().clamp(min=1)).abs().max()) if it.numel() else 0.0, name)
        for name, it in left.items()
    )


@pytest.mark.parametrize("size", [2, 3])
def test_processes_train_as_one_does(size: int, alone: tuple[Path, dict[str, State]]) -> None:
    directory, expected = alone
    path = directory / f"{size}.pt"
    for process in start(size, Path(__file__).with_name("together.py"), size, path):
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    found = torch.load(path)
    assert found["apart"] == []
    resumed = found["states"].pop("resumed")
    assert found["states"].keys() == expected.keys()
    distances = {name: furthest(state, expected[name]) for name, state in found["states"].items()}
    assert {name: it for name, it in distances.items() if not it[0] <= TOLERANCE} == {}
    # On with a state of another number of processes.
    straight = expected["balance alternating"]
    assert furthest(resumed, straight)[0] <= TOLERANCE
    torch.manual_seed(0)
    trainer = Trainer(
        generator(), critic(), z_dim=Z_DIM, fabric=make_fabric("cpu"), seed=5, g_optimizer=ADAM, d_optimizer=ADAM
    )
    trainer.load(path.with_suffix(".half"))
    trainer.fit(POINTS, steps=STEPS, batch=BATCH)
    assert furthest(state_of(trainer), straight)[0] <= TOLERANCE
    for name, check in TOGETHER.items():
        check(found["together"][name], size)


def all_are(expected: Any) -> Callable[[list[Any], int], None]:
    def check(found: list[Any], size: int) -> None:
        assert found == [expected] * size

    return check


def all_say(*words: str) -> Callable[[list[Any], int], None]:
    def check(found: list[Any], size: int) -> None:
        assert all(word in text for text in found for word in words), found

    return check


def sizes_are_told(found: list[Any], size: int) -> None:
    all_say(f"have {', '.join(str(8 - rank) for rank in range(size))} samples; give all of them as many")(found, size)


def uneven_is_told(found: list[Any], size: int) -> None:
    near = "12 or 14" if size == 2 else "12 or 15"
    all_say(f"batch is 13, which {size} processes cannot share evenly: give a multiple of {size}, such as {near}")(
        found, size
    )


def derivatives_are_right(found: list[Any], size: int) -> None:
    # f = (sum x^2)^2: f' = 4 x s, f'' = 4 s + 8 x^2 of each x, and the mixed ones 8 x_i x_j, which sum up with these.
    numbers = range(1, size + 1)
    s = sum(x * x for x in numbers)
    first = [4 * x * s for x in numbers]
    second = [4 * s + sum(8 * x * y for y in numbers) for x in numbers]
    assert [it[0] for it in found] == pytest.approx(first)
    assert [it[1] for it in found] == pytest.approx(second)


def shares_are_told(found: list[Any], size: int) -> None:
    assert all(is_same for is_same, _ in found)
    seen = [count for _, count in found]
    assert sum(seen) == 50 + 80
    assert max(seen) - min(seen) <= 2


TOGETHER: dict[str, Callable[[list[Any], int], None]] = {
    "not_finite_in_one": all_say("NonFiniteError: step 2: the discriminator's loss is not finite", "at 2"),
    "dropped": all_are(True),
    "buffers_of_ones_own": all_are(True),
    "own_weights": all_are(True),
    "stopped_by_one": all_are((4, "it is enough")),
    "parts_of_two_sizes": sizes_are_told,
    "uneven_batch": uneven_is_told,
    "batch_beyond_the_data": all_say("DataError: batch is 60 and the data has only 50 samples"),
    "other_execution": all_say("execution is 'compile', which is for one process", "take eager or auto"),
    "spread_work": all_are(([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "NonFiniteError: the last share is bad")),
    "features_in_shares": shares_are_told,
    "second_derivatives": derivatives_are_right,
}


# A run directory, by the command line.

SETTINGS = {
    "log.every_steps": 4,
    "checkpoint.every_steps": 10,
    "evaluate.every_kimg": 0.5,
    "evaluate.samples": 200,
    "generator.width": 8,
    "discriminator.width": 8,
    "precision": "32-true",
    "batch": 24,
}
TIMES = ("seconds", "img_per_s", "data_wait")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a few images, to be in."""
    directory = tmp_path_factory.mktemp("work")
    np.save(directory / "images.npy", np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8))
    before = Path.cwd()
    os.chdir(directory)
    os.environ["POISE_CACHE"] = str(directory / "cache")
    yield directory
    os.chdir(before)
    del os.environ["POISE_CACHE"]


def train(run: str, *options: str | int, steps: int = 40) -> list[str]:
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = ["train", "images.npy", "--recipe", "vanilla", "--run", run, "--steps", steps, "--device", "cpu"]
    return [sys.executable, "-m", "poise", *map(str, [*command, *settings, *options])]


def done(command: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert found.returncode == code, found.stdout + found.stderr
    return found


def here(command: list[str], code: int = 0) -> str:
    """The same command in this process, which has torch loaded already; what it prints."""
    said = StringIO()
    with (
        mock.patch.object(sys, "argv", ["poise", *command[3:]]),
        redirect_stdout(said),
        redirect_stderr(said),
        pytest.raises(SystemExit) as exit_,
    ):
        main()
    assert exit_.value.code == code, said.getvalue()
    return said.getvalue()


def numbers(path: Path) -> list[dict[str, Any]]:
    return [{name: it for name, it in row.items() if name not in TIMES} for row in read_rows(path)]


def assert_near(left: str, right: str, steps: int = 40) -> None:
    """Two runs have the same weights and rows, but for rounding."""
    one, other = (load_file(f"{run}/checkpoints/{steps:08d}.safetensors") for run in (left, right))
    assert one.keys() == other.keys()
    for name, it in one.items():
        assert float((it.double() - other[name].double()).abs().max()) <= 1e-5, name
    for file in ("log.jsonl", "metrics.jsonl"):
        for row, its in zip(numbers(Path(left, file)), numbers(Path(right, file)), strict=True):
            assert row.keys() == its.keys()
            for name, it in its.items():
                assert row[name] == (it if isinstance(it, str) else pytest.approx(it, rel=1e-3, abs=1e-5)), name


def test_a_run_changes_its_processes(work: Path) -> None:
    """Two processes go on where one stopped, and one where two did; both get where one would have."""
    assert "processes" not in here(train("up", steps=20))
    up = done(train("up", "--devices", 2))
    assert "batch 24, 12 for each of 2 processes" in up.stdout
    assert up.stdout.count("Going on from step 20") == up.stdout.count("Finished at step 40") == 1
    assert up.stderr == ""
    assert "processes is 2, was 1" in up.stdout
    done(train("down", "--devices", 2, steps=20))
    here(train("down"))
    here(train("straight"))
    for run in ("up", "down"):
        assert_near(run, "straight")


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(it) for it in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> float:
    t0 = time.monotonic()
    while not condition():
        assert time.monotonic() - t0 < seconds, "it never came to be"
        time.sleep(0.05)
    return time.monotonic() - t0


def training(run: str, *options: str | int) -> tuple[subprocess.Popen[str], list[int]]:
    """Processes that train and have saved something, the first of them and all ids."""
    process = subprocess.Popen(
        train(run, *options, steps=1_000_000), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: Path(run, "checkpoints", "00000020.json").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process, [process.pid, *children(process)]
    except BaseException:
        process.kill()
        raise


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds children in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_ends_the_others(rank: int, work: Path) -> None:
    run = f"killed-{rank}"
    process, pids = training(run, "--devices", 2)
    os.kill(pids[rank], signal.SIGKILL)
    assert wait_for(lambda: not any(map(is_alive, pids)), 30) < 30
    _, said = process.communicate()
    assert said.count("another of the 2 processes of this training has ended") == 1
    assert "the checkpoint of step" in said
    assert "The same command goes on from there" in said
    last = Run(Path(run)).checkpoints.last()
    assert last is not None
    assert last.read()  # it is whole
    if rank:
        assert process.returncode == 1
        assert "process 1 was ended by SIGKILL" in said
        assert Run(Path(run)).state() is RunState.FAILED
        assert read_rows(Path(run, "events.jsonl"))[-1]["kind"] == "process_gone"
        again = done(train(run, "--devices", 2, "--max-seconds", "0.5", steps=1_000_000))
        assert f"Going on from step {last.step:,}" in again.stdout
        assert "--max-seconds 0.5" in again.stdout
    else:
        assert Run(Path(run)).state() is RunState.KILLED


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds children in /proc")
def test_a_signal_to_one_stops_all(work: Path) -> None:
    process, pids = training("signalled", "--devices", 2)
    os.kill(pids[1], signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "(SIGTERM); all is saved" in said
    assert not any(map(is_alive, pids))
    run = Run(Path("signalled"))
    assert run.state() is RunState.STOPPED
    assert run.steps_at_risk() == 0


def test_the_watch_acts_in_all(work: Path) -> None:
    """What cannot be trained goes back three times, and is saved by the settings of a safe recipe."""
    broken = ["--set", "d_optimizer.lr=1e20", "--watch", "act"]
    here(train("watched-1", *broken))
    done(train("watched-2", *broken, "--devices", 2))
    one, two = (
        [(row["step"], row["kind"], row["action"]) for row in read_rows(Path(run, "events.jsonl"))]
        for run in ("watched-1", "watched-2")
    )
    assert one == two
    assert [kind for _, kind, _ in two].count("rolled_back") == 3
    hopeless = train("watched-3", *broken, "--set", "watch.rollbacks=0", "--devices", 2)
    assert "nothing is left to be tried" in done(hopeless, code=1).stderr


def test_other_settings_in_one_are_refused(work: Path) -> None:
    """As where machines are started one by one."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            train("apart", "--nodes", 2, *options),
            env={**common, "NODE_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, options in enumerate([[], ["--set", "seed=1"]])
    ]
    first, second = (process.communicate(timeout=120) for process in processes)
    assert [process.returncode for process in processes] == [2, 2]
    assert "process 1 was started with other settings than process 0 (seed: 0 -> 1)" in first[1]
    assert second == ("", "")
    assert not Path("apart").exists()


TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]


@pytest.mark.slow
def test_torchrun(work: Path) -> None:
    # Without the dashes torchrun takes --run for an option of its own.
    found = done([sys.executable, *TORCHRUN, str(free_port()), "-m", "--", *train("torchrun", steps=20)[2:]])
    assert found.stdout.count("Finished at step 20") == 1
    here(train("beside", steps=20))
    assert_near("torchrun", "beside", 20)


@pytest.mark.slow
def test_fabric_run(work: Path) -> None:
    script = Path("script.py")
    script.write_text("from poise.cli import main\nmain()\n")
    fabric = [
        sys.executable,
        "-c",
        "from lightning_fabric.cli import _main; _main()",
        "run",
        "--accelerator",
        "cpu",
        "--devices",
        "2",
    ]
    port = ["--main-port", str(free_port())]
    command = [word for word in train("fabric", steps=20)[3:] if word not in ("--run", "fabric")]  # as of torchrun
    found = done([*fabric, "--accelerator", "cpu", "--devices", "2", *port, str(script), *command])
    assert found.stdout.count("Finished at step 20") == 1
    here(train("beside-fabric", steps=20))
    (run,) = Path("runs").iterdir()
    assert_near(str(run), "beside-fabric", 20)


@pytest.mark.slow
def test_srun(work: Path) -> None:
    """As SLURM starts tasks."""
    port = str(free_port())
    slurm = {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_JOB_NAME": "poise",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    processes = [
        subprocess.Popen(
            train("srun", steps=20),
            env={**os.environ, **slurm, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "Finished at step 20" in said[0][0]
    assert said[1] == ("", "")


# Where processes stand, and what is refused before any is started.

TORCHELASTIC = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}
SLURM = {"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NNODES": "2", "SLURM_PROCID": "4"}
RENDEZVOUS = {"MASTER_ADDR": "first", "MASTER_PORT": "29500", "NODE_RANK": "1"}


def test_places() -> None:
    assert place(environment={}) == Place(1, 1, 0, "")
    assert place(2, environment={}) == Place(2, 1, 0, "")
    assert place(environment=TORCHELASTIC) == Place(4, 2, 5, "torchrun")
    assert place(4, 2, TORCHELASTIC) == Place(4, 2, 5, "torchrun")
    assert place(environment=SLURM) == Place(3, 2, 4, "srun")
    assert place(environment=SLURM | {"SLURM_JOB_NAME": "interactive"}) == Place(1, 1, 0, "")
    assert place(2, 3, RENDEZVOUS) == Place(2, 3, 2, "")
    assert place(2, 3, RENDEZVOUS | {"POISE_LAUNCHED": "3"}) == Place(2, 3, 3, "poise")
    assert place(2, 3, RENDEZVOUS).size == 6


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "words"),
    [
        (2, None, TORCHELASTIC, "--devices is 2, and torchrun started this with 4: leave --devices out, or start it"),
        (None, 3, SLURM, "--nodes is 3, and srun started this with 2"),
        (None, None, {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, "give --ntasks-per-node=2 in place of --ntasks"),
        (1, 2, {"MASTER_ADDR": "first"}, "MASTER_PORT, NODE_RANK are not set: on each machine, set MASTER_ADDR"),
        (1, 2, RENDEZVOUS | {"NODE_RANK": "2"}, "NODE_RANK is 2, and there are 2 machines: number them from 0"),
    ],
)
def test_places_that_contradict_each_other(
    devices: int | None, nodes: int | None, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(DeviceError, match=words):
        place(devices, nodes, environment)


def test_the_device_of_fabric_run() -> None:
    assert device_of_fabric_run("auto", {}) == "auto"
    environment = {"LT_CLI_USED": "1", "LT_ACCELERATOR": "gpu", "LT_DEVICES": "2", "LT_NUM_NODES": "1", "HOME": "/"}
    assert device_of_fabric_run("auto", environment) == "cuda"
    assert environment == {"HOME": "/"}
    assert device_of_fabric_run("cpu", {"LT_CLI_USED": "1", "LT_DEVICES": "2"}) == "cpu"
    with pytest.raises(DeviceError, match="--device is cpu, and fabric run asks for cuda"):
        device_of_fabric_run("cpu", {"LT_CLI_USED": "1", "LT_ACCELERATOR": "cuda"})
    with pytest.raises(DeviceError, match="give --set precision=bf16-mixed"):
        device_of_fabric_run("auto", {"LT_CLI_USED": "1", "LT_PRECISION": "bf16-mixed"})


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match="4 CUDA devices are asked for, and this machine has 2: give --devices 2"):
        make_fabric("auto", devices=4)
    with pytest.raises(DeviceError, match="device 'cuda:1' is one device, and 2 are asked for: give cuda"):
        make_fabric("cuda:1", devices=2)


def test_a_fabric_that_was_not_launched() -> None:
    fabric = make_fabric("cpu", devices=2)
    with pytest.raises(DeviceError, match=r"of 2 processes, which have not joined each other: call fabric.launch\(\)"):
        Trainer(generator(), critic(), fabric=fabric)


def config(**changes: Any) -> Config:
    parts = {"generator": "mlp", "discriminator": "mlp", "data": "ring8", "steps": 10}
    return parse(parts | changes, "here")


def test_processes_that_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(fabric: Fabric) -> None:
        raise RuntimeError("The client socket has timed out\nand more")

    monkeypatch.setattr(Fabric, "launch", launch)
    monkeypatch.setenv("MASTER_ADDR", "first")
    monkeypatch.setenv("MASTER_PORT", "29500")
    points = load(np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32))
    with pytest.raises(PeerError, match=r"could not meet at first:29500 \(The client socket has timed out\): see that"):
        Session(resolve(points, "vanilla"), points, Run("never"), device="cpu", devices=2)


def test_settings_that_processes_cannot_share() -> None:
    with pytest.raises(ConfigError, match=r"batch is 64, which 3 processes cannot share evenly: .* such as 63 or 66"):
        fabric_for(config(batch=64), (2,), "cpu", devices=3)
    with pytest.raises(ConfigError, match=r"batch is 2, which 3 processes .* such as 3$"):
        fabric_for(config(batch=2), (2,), "cpu", devices=3)
    with pytest.raises(ConfigError, match="execution is 'compile', which is for one process, and there are 6"):
        fabric_for(config(batch=66, execution="compile"), (2,), "cpu", devices=3, nodes=2)


def test_refusals_of_the_command_line(poise: Callable[..., Any]) -> None:
    said = poise("train", "ring8", "--device", "cpu", "--devices", "3", "--batch", "64", "--run", "r", code=2).stderr
    assert "batch is 64, which 3 processes cannot share evenly" in said
    said = poise("train", "ring8", "--device", "cpu", "--devices", "2", "--batch", "auto", "--run", "r", code=2).stderr
    assert "batch is auto, which one process settles, and there are 2" in said
    assert not Path("r").exists()
    dry = poise("train", "ring8", "--device", "cpu", "--devices", "3", "--batch", "64", "--dry-run", code=2).stderr
    assert "such as 63 or 66" in dry


# Those that were started beside one.


def sleeper(seconds: float, code: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds}); raise SystemExit({code})"])


def test_one_that_fails_before_it_joins_ends_all() -> None:
    """The process that waits for it waits in a library, where nothing but its own end ends it."""
    script = """
import subprocess, sys, time
import poise.launch as it
it._GRACE_SECONDS = 0.3
failing = [sys.executable, "-c", "raise SystemExit(2)"]
waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
it.Launched([subprocess.Popen(command) for command in (waiting, failing)])
time.sleep(60)
"""
    found = done([sys.executable, "-c", script], code=1)
    assert found.stderr == "error: process 2 of this training has failed, and nothing goes on without it\n"


def test_those_that_wait_for_one_that_failed_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.launch._SHORT_GRACE_SECONDS", 0.1)
    waiting = sleeper(60)
    with pytest.raises(OSError, match="the disk is full"), Launched([waiting]):
        raise OSError("the disk is full")
    assert waiting.returncode == -signal.SIGKILL


def test_those_that_are_ready_are_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    ready, killed = sleeper(0.5), sleeper(60)
    with Launched([ready, killed]):
        killed.terminate()
    assert ready.returncode == 0
    assert capfd.readouterr().err == "process 2 was ended by SIGTERM\n"


# What it rests on.


def test_losses_that_look_at_a_batch() -> None:
    found = {name for name, loss in LOSSES.items() if looks_at_batch(loss)}
    assert found == {"wasserstein_kl", "relativistic_average", "softmax"}


def test_a_world_of_one() -> None:
    world = World()
    x = torch.ones(3)
    assert world.sum(x) is world.gather(x) is x
    assert world.of_all(4) == [4]
    assert world.any_of(None) is None
    assert world.by_first(lambda: 5) == world.first_then_others(lambda: 5) == world.of_first(5) == 5
    assert world.share(7) == slice(0, 7)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_all_of_it(size: int) -> None:
    shares = [World.share(_World(rank, size), 13) for rank in range(size)]
    assert [index for share in shares for index in range(13)[share]] == list(range(13))
    assert max(len(range(13)[it]) for it in shares) - min(len(range(13)[it]) for it in shares) <= 1


class _World(World):
    """A world of which the other processes are not there."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.parallel.heartbeat._PERIOD_SECONDS", 0.05)
    monkeypatch.setattr("poise.parallel.heartbeat._PATIENCE", 4)


def test_a_heart_that_stops_is_missed(quick: None) -> None:
    store, said = HashStore(), list[str]()
    store.set("poise/alive/1", "7")  # it counted to seven, and no further
    heartbeat = Heartbeat(0, 2, store, said.append)
    heartbeat.start()
    wait_for(lambda: bool(said), 10)
    assert "process 1 of 2 has given no sign of life" in said[0]


def test_what_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    _end("process 1 of 2 is gone")
    assert codes == [1]
    assert (
        "error: process 1 of 2 is gone; this training ends, and its last checkpoint is good" in capsys.readouterr().err
    )


def test_who_misses_one_tells_all(quick: None) -> None:
    store, said = HashStore(), list[str]()
    store.set("poise/alive/2", "7")
    hearts = [Heartbeat(rank, 3, store, said.append) for rank in range(2)]
    for heart in hearts:
        heart.start()
    wait_for(lambda: len(said) == 2, 10)
    assert said[0] == said[1]
    assert "process 2 of 3" in said[0]


def test_hearts_that_beat_are_not_missed(quick: None) -> None:
    store, said = HashStore(), list[str]()
    hearts = [Heartbeat(rank, 3, store, said.append) for rank in range(2)]  # the third is still preparing
    for heart in hearts:
        heart.start()
    time.sleep(0.8)
    hearts[0].stop()  # takes leave
    time.sleep(0.8)
    hearts[1].stop()
    assert said == []
    assert store.get("poise/alive/0") == store.get("poise/alive/1") == b"over"
