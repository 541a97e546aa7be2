"""Many workers on one study in PostgreSQL: a real server, which the tests start and stop.

Each worker has a directory of its own, as on machines of its own; the database is all that they share.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poise.runs import Run

optuna = pytest.importorskip("optuna")
pytest.importorskip("psycopg")

SMALL = [
    *("generator.width=8", "discriminator.width=8", "batch=32", "z_dim=2", "execution=eager"),
    *("evaluate.samples=64", "evaluate.every_kimg=0.5", "evaluate.metrics=swd", "checkpoint.every_steps=50"),
]


class Server:
    """A PostgreSQL server with a database ``studies``; one that root starts runs as the user ``postgres``."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="poise-postgresql-"))
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._user:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "--auth=trust", "--username=poise", "-D", self.directory / "data")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "poise", "studies")

    @property
    def url(self) -> str:
        return f"postgresql://poise:secret@127.0.0.1:{self.port}/studies"

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._user, str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.directory}"
        data, log = self.directory / "data", self.directory / "log"
        self._run("pg_ctl", "start", "--wait", "-D", data, "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate", "-D", self.directory / "data")


def programs() -> Path | None:
    """Where the server's programs are; Debian does not have them on the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = programs()
    if found is None:
        reason = "there is no PostgreSQL server here: install the package 'postgresql'"
        if os.environ.get("POISE_REQUIRE_POSTGRESQL"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = Server(found)
    yield server
    server.stop()
    shutil.rmtree(server.directory)


@pytest.fixture
def machines(tmp_path: Path, cache: Path) -> tuple[Path, Path]:
    """Two directories with the same space."""
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
        (place / "space.yaml").write_text("g_optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}\n")
    return places


def start(server: Server, cache: Path, at: Path, study: str, trials: int, kimg: float) -> subprocess.Popen[str]:
    sets = [part for assignment in (*SMALL, f"kimg={kimg}") for part in ("--set", assignment)]
    where = ["--storage", server.url, "--study", study, "--silence", "4"]
    command = ["tune", "ring8", "--recipe", "relativistic", "--space", "space.yaml", "--trials", str(trials)]
    return subprocess.Popen(
        [sys.executable, "-m", "poise", *command, *sets, *where],
        cwd=at,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "POISE_CACHE": str(cache)},
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=180)
    assert process.returncode == code, output
    return output


def wait_for(now: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not now():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it never came to that: {process.communicate()[0]}")
        time.sleep(0.02)


def rows(server: Server, study: str) -> list[Any]:
    storage = optuna.storages.RDBStorage(server.url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        return optuna.load_study(study_name=study, storage=storage).trials
    finally:
        storage.engine.dispose()


def test_two_machines_work_on_one_study(server: Server, machines: tuple[Path, Path], cache: Path) -> None:
    workers = [start(server, cache, at, "shared", trials=4, kimg=4) for at in machines]
    outputs = [finish(worker) for worker in workers]
    trials = rows(server, "shared")
    # Both may take the last trial at the same moment.
    assert 4 <= len(trials) <= 5
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert len({trial.params["g_optimizer.lr"] for trial in trials}) == len(trials)
    for at, output in zip(machines, outputs, strict=True):
        assert list((at / "studies/shared/trials").glob("*/config.yaml"))
        assert (at / "studies/shared/best.yaml").exists()
        assert "secret" not in output
    assert "secret" not in (machines[0] / "studies/shared/study.json").read_text()


def test_another_machine_takes_up_the_trial_of_a_killed_worker(
    server: Server, machines: tuple[Path, Path], cache: Path
) -> None:
    one, other = machines
    victim = start(server, cache, one, "killed", trials=2, kimg=1000)
    wait_for(lambda: (one / "studies/killed/trials/0000/metrics.jsonl").exists(), victim)
    survivor = start(server, cache, other, "killed", trials=2, kimg=1000)
    wait_for(lambda: (other / "studies/killed/trials/0001/metrics.jsonl").exists(), survivor)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    Run(other / "studies/killed/trials/0001").stop_request.touch()  # a person gives up the survivor's own
    wait_for(lambda: (other / "studies/killed/trials/0000/metrics.jsonl").exists(), survivor)
    Run(other / "studies/killed/trials/0000").stop_request.touch()
    output = finish(survivor, code=1)
    assert "Waiting for 1 trial of other workers" in output
    killed, own, again = rows(server, "killed")
    assert (killed.state.name, own.state.name, again.state.name) == ("FAIL", "PRUNED", "PRUNED")
    assert (again.params, again.user_attrs["again"]) == (killed.params, killed.number)
    assert again.user_attrs["reason"] == "poise stop"


def test_a_server_that_comes_back_in_time_costs_nothing(
    server: Server, machines: tuple[Path, Path], cache: Path
) -> None:
    at = machines[0]
    worker = start(server, cache, at, "back", trials=2, kimg=20)
    wait_for(lambda: (at / "studies/back/trials/0000/metrics.jsonl").exists(), worker)
    server.stop()
    evaluated = (at / "studies/back/trials/0000/metrics.jsonl").stat().st_size
    wait_for(lambda: (at / "studies/back/trials/0000/metrics.jsonl").stat().st_size > evaluated + 500, worker)
    server.start()
    output = finish(worker)
    assert "does not answer" in output
    assert "training goes on" in output
    trials = rows(server, "back")
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    # What could not be reported at its time was reported later.
    assert sorted(trials[0].intermediate_values) == list(range(1, 41))


def test_a_server_that_goes_away_leaves_the_results(server: Server, machines: tuple[Path, Path], cache: Path) -> None:
    at = machines[0]
    worker = start(server, cache, at, "gone", trials=2, kimg=8)
    wait_for(lambda: (at / "studies/gone/trials/0000/metrics.jsonl").exists(), worker)
    server.stop()
    try:
        output = finish(worker, code=1)
    finally:
        server.start()
    assert "The trials are in studies/gone and nothing of them is lost: when the storage is back, the same" in output
    assert "secret" not in output
    output = finish(start(server, cache, at, "gone", trials=2, kimg=8))
    assert "Trial 0000" not in output  # it was trained already
    trials = rows(server, "gone")
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    assert sorted(trials[0].intermediate_values) == list(range(1, 17))
