"""What several test modules use."""

import os

# Networks in tests are small: threads would only wait for each other. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from poise.cli import main


@pytest.fixture(autouse=True)
def seed() -> None:
    """What a test draws does not depend on which tests were before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Done(NamedTuple):
    """What a command left: as of a process."""

    stdout: str
    stderr: str


@pytest.fixture
def poise(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command line in a directory of its own; in this process, which has torch loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POISE_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path, code: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["poise", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        done = Done(*capsys.readouterr())
        assert exit_.value.code == code, done.stdout + done.stderr
        return done

    return run
