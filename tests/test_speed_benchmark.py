import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    # Their names are short: other tests shall not find them.
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "speed.py", *arguments]
    return subprocess.run([str(it) for it in command], capture_output=True, text=True)


@pytest.mark.parametrize("letter", ["a", "d", *(pytest.param(it, marks=pytest.mark.slow) for it in "bcef")])
def test_loops_by_hand_train_as_poise_does(letter: str) -> None:
    from cases import CASES
    from parity import check_maths

    check_maths(CASES[letter], "cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"penalties": {"r1": 1.0}},
        {"penalties": {"r1": 1.0, "r2": 1.01}},
        {"loss": "vanilla"},
    ],
    ids=str,
)
def test_other_maths_are_refused(change: dict[str, object]) -> None:
    from cases import CASES
    from parity import DifferentTrainingError, check_maths

    with pytest.raises(DifferentTrainingError, match="poise eager fp32, in float64: trains differently: after 4 steps"):
        check_maths(replace(CASES["d"], **change), "cpu")


def test_a_loop_that_draws_less_is_refused() -> None:
    import plain
    from cases import CASES
    from parity import DifferentTrainingError, check_maths

    other = replace(CASES["d"], plain=plain.dcgan_reusing_fakes)
    with pytest.raises(DifferentTrainingError, match="draws random numbers 4 times less often than poise"):
        check_maths(other, "cpu")


def test_a_loop_that_draws_more_is_refused() -> None:
    import plain
    from cases import CASES
    from parity import DifferentTrainingError, check_maths

    other = replace(CASES["d"], plain=partial(plain.wgan_gp, d_steps=1))
    with pytest.raises(DifferentTrainingError, match=r"draws random numbers \(4, 1\) where poise draws \(4, 2\)"):
        check_maths(other, "cpu")


def test_only_the_plain_loop_stands_for_the_plain_loop() -> None:
    from cases import CASES
    from variants import PLAIN, variants_of

    for case in CASES.values():
        names = list(variants_of(case))
        assert names[0] == PLAIN
        assert len(names) == len(set(names)) == 1 + len(case.further) + 6
        assert case.same_training <= set(case.further)


def test_operations_are_those_of_the_formulas() -> None:
    from roofline import Rates, flops_of

    linear, convolution = nn.Linear(5, 7), nn.Conv2d(2, 3, 3, padding=1)

    def step() -> None:
        linear(torch.ones(4, 5)).sum().backward()  # a product forward, and one for the weight's gradient
        convolution(torch.ones(6, 2, 8, 8))

    flops = flops_of(step, steps=2)
    assert flops.products == 2 * (2 * 4 * 5 * 7)
    assert flops.convolutions == 2 * 6 * 8 * 8 * 2 * 3 * 9
    assert Rates(products=280.0, convolutions=flops.convolutions / 2).seconds(flops) == 2 + 2


def test_rates_are_measured() -> None:
    from roofline import rates_of

    assert all(1e6 < rate < 1e16 for rate in rates_of("fp32", "cpu", repeats=1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_what_was_allocated_at_once() -> None:
    # In a process of its own: this one's allocator may have blocks to hand out that earlier tests left resident.
    code = """
import torch
from memory import _Resident

before = torch.ones(32, 2**20)
peak = _Resident()
for _ in range(3):
    torch.ones(16, 2**20)
print(peak.bytes())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert 0.9 * 2**26 < int(done.stdout) < 1.5 * 2**26


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_of_its_own_measures_memory_or_says_why_not() -> None:
    from memory import MeasurementError, peak_bytes

    assert 2**20 < peak_bytes("d", "plain", "cpu", threads=1) < 2**29
    with pytest.raises(MeasurementError, match=r"the memory of fast on \(d\) failed: KeyError: 'fast'"):
        peak_bytes("d", "fast", "cpu", threads=1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_other_processes_are_noticed() -> None:
    from machine import Others

    others = Others()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert others.cores() > 0.1


def test_rounds_with_others_are_left_out() -> None:
    from speed import quiet_rounds, spread

    assert quiet_rounds([0.0, 1.2, 0.05, 0.01]) == [0, 2, 3]
    assert quiet_rounds([0.0, 1.2, 0.9, 0.01]) is None
    assert quiet_rounds([None, None, None]) == [0, 1, 2]
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == [2.0, 3.0, 4.0]


def test_it_prints_tables_and_writes_files(tmp_path: Path) -> None:
    arguments = ("--quick", "--cases", "d", "--precisions", "fp32", "--executions", "eager", "--threads", "1")
    done = run(*arguments, "--device", "cpu", "--json", tmp_path / "speed.json", "--markdown", tmp_path / "speed.md")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["about"]["threads"] == 1
    assert report["about"]["torch"] == torch.__version__
    (case,) = report["cases"]
    assert [row["name"] for row in case["rows"]] == ["plain", "poise eager fp32"]
    for row in case["rows"]:
        assert 0 < row["ms"][0] <= row["ms"][1] <= row["ms"][2]
        assert 0 < row["roofline"] < 1
        assert max(row["apart"].values()) < 0.05
    assert case["rows"][0]["ratio"] == [1, 1, 1]
    assert (tmp_path / "speed.md").read_text().strip() == done.stdout.strip()
    assert "| training " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cases", "a,z"], "'z' is none of a, b, c, d, e, f"),
        (["--rounds", "1"], "--rounds is 1; quartiles need at least 2"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_settings_are_put_back() -> None:
    from backends import restore, settings

    before = settings()
    try:
        torch.backends.cudnn.benchmark = not before[2]
        assert settings() != before
    finally:
        restore(before)
    assert settings() == before
