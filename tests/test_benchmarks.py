"""The benchmarks of data and of the start run, and write what they measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(name: str, *arguments: str, result: Path) -> dict[str, dict[str, dict[str, float]]]:
    command = [sys.executable, str(BENCHMARKS / name), "--rounds", "1", "--json", str(result), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1: this machine is busy
    written = json.loads(result.read_text())
    assert {"commit", "cpu", "torch", "pillow"} <= written["about"].keys()
    return written


@pytest.mark.slow
def test_data(tmp_path: Path) -> None:
    written = run("data.py", "--count", "128", result=tmp_path / "data.json")
    assert written["epochs"]["cached"]["images_per_second"] > 0
    assert written["preparation"]["large"]["images"] > 0
    assert 0 < written["step"]["share"] < 1


@pytest.mark.slow
def test_start(tmp_path: Path) -> None:
    seconds = run("start.py", result=tmp_path / "start.json")["seconds"]
    assert 0 < seconds["import torch"]["cpu_seconds"] < seconds["first step of poise train digits"]["cpu_seconds"]


@pytest.mark.slow
def test_scale(tmp_path: Path) -> None:
    result = tmp_path / "scale.json"
    parts = ["--parts", "data,processes,arithmetic", "--largest", "1000", "--seconds", "0.1"]
    command = [sys.executable, str(BENCHMARKS / "scale.py"), *parts, "--json", str(result)]
    subprocess.run(command, check=True, capture_output=True)
    written = json.loads(result.read_text())
    assert [row["images"] for row in written["data"]] == [1000]
    assert [row["processes"] for row in written["processes"]] == [1, 2, 1, 2]
    assert all(0 < row["efficiency"] <= 1 for row in written["arithmetic"])
