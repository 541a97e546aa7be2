"""The benchmarks of quality and of stability run as they are, on trainings of a few steps."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poise.data import Data, load
from poise.runs import Run

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("POISE_CACHE", str(tmp_path / "cache"))
    yield
    # Their names are short: other tests shall not find them.
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


# Quality.


def test_a_row_is_trained_once_and_goes_on(tmp_path: Path) -> None:
    from quality import Row, measure, train

    few = ("--set", "evaluate.samples=100")
    row = Row("a ring", "ring8", ("--steps", "3", *few), "modes", 200)
    runs, path = tmp_path / "runs", tmp_path / "quality.json"
    said: list[str] = []
    results = measure({"ring8": row}, 1, runs, path, said.append)
    assert results == json.loads(path.read_text())
    numbers = results["rows"]["ring8"]["0"]["poise"]
    assert {"modes", "high_quality", "modes_kl", "mixture_kl"} <= numbers.keys()
    assert [line.partition(" {")[0] for line in said] == ["ring8 0 poise"]
    run = Run(runs / "ring8-0")
    assert numbers["seconds"] > run.status().seconds > 0
    assert run.path.with_suffix(".png").is_file()

    written = path.stat().st_mtime_ns
    assert measure({"ring8": row}, 1, runs, path)["rows"] == results["rows"]
    assert path.stat().st_mtime_ns == written

    before = run.status().seconds
    longer = train(replace(row, train=("--steps", "5", *few)), 0, run.path)
    assert run.status().step == 5
    assert longer["seconds"] > run.status().seconds > before


def test_trainings_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    from quality import Row, measure

    path = tmp_path / "quality.json"
    path.write_text(json.dumps({"settings": {"ring8": ["--steps", "3"]}}))
    there = {"ring8": Row("a ring", "ring8", ("--steps", "5"), "modes", 200)}
    with pytest.raises(
        SystemExit, match=r"quality\.json has trainings of ring8 with other settings; give another --json"
    ):
        measure(there, 1, tmp_path / "runs", path)
    assert not (tmp_path / "runs").exists()


def test_tables_have_mean_and_worst() -> None:
    from quality import Row, table

    row = Row(
        "a ring", "ring8", (), "modes", 200, targets={"modes": ">= 8"}, published=("GAN: 6.3 modes",), by_hand=True
    )
    ways = [
        {"poise": {"modes": 8, "modes_kl": 0.5, "seconds": 10.0}, "by hand": {"modes": 4, "seconds": 10.0}},
        {"poise": {"modes": 7, "modes_kl": 0.1, "seconds": 12.0}, "by hand": {"modes": 6, "seconds": 12.0}},
    ]
    assert table("ring8", row, {str(seed): numbers for seed, numbers in enumerate(ways)}) == [
        "### ring8: a ring, 2 seeds",
        "",
        "| number | mean | worst | target |",
        "|---|---:|---:|---|",
        "| modes | 7.5 | 7 | >= 8 |",
        "| modes, DCGAN by hand | 5 | 4 |  |",
        "| modes_kl | 0.3 | 0.5 |  |",
        "| seconds | 11 | 12 |  |",
        "| seconds, DCGAN by hand | 11 | 12 |  |",
        "",
        "- GAN: 6.3 modes",
        "",
    ]


@pytest.mark.parametrize(
    ("kid", "fid", "is_so"), [(0.002, 0.4, True), (0.0021, 0.4, False), (0.002, 0.41, False), (-0.0001, 0.1, True)]
)
def test_poise_shall_be_twice_as_good_as_a_loop_by_hand(kid: float, fid: float, is_so: bool) -> None:
    from quality import Row, is_twice_as_good, table

    row = Row("digits", "digits", (), "kid,fid", 10, by_hand=True)
    seeds = [{"poise": {"kid": kid + it, "fid": fid}, "by hand": {"kid": 0.004, "fid": 0.8}} for it in (-1e-4, 1e-4)]
    assert is_twice_as_good(row, seeds) is is_so
    lines = table("digits", row, {str(seed): numbers for seed, numbers in enumerate(seeds)})
    assert f"| fid, DCGAN by hand | 0.8 | 0.8 | >= {2 * fid:.4g} |" in lines


def test_rows_without_a_loop_by_hand_are_not_compared() -> None:
    from quality import Row, is_twice_as_good

    assert is_twice_as_good(Row("a ring", "ring8", (), "modes", 10), [{"poise": {"modes": 8.0}}])


def test_a_loop_by_hand_is_measured_alike() -> None:
    from quality import Row, train_by_hand

    row = Row("digits", "digits", (), "swd", 300, by_hand=True)
    numbers = train_by_hand(row, 0, 0.2)
    assert (numbers["real_samples"], numbers["fake_samples"], numbers["seconds"]) == (300, 300, 0.2)
    assert math.isfinite(numbers["swd"])


@pytest.mark.parametrize(("value", "bound", "kept"), [(8, ">= 8", True), (7, ">= 8", False), (0.02, "<= 0.01", False)])
def test_bounds(value: float, bound: str, kept: bool) -> None:
    from quality import keeps

    assert keeps(value, bound) is kept


def test_rows_that_need_data_are_there_when_it_is() -> None:
    from quality import rows

    assert not {"mnist", "stacked-mnist", "stacked-mnist-long", "cifar10"} & rows(None, None, Path("made")).keys()
    there = rows(Path("m.tar"), Path("c.tar"), Path("made"))
    assert {"mnist", "stacked-mnist", "stacked-mnist-long", "cifar10"} < there.keys()
    assert there["mnist"].size == 32
    assert not Path("made").exists()


def test_a_row_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quality import main

    monkeypatch.setattr(sys, "argv", ["quality.py", "--rows", "ring8,mnist"])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "'mnist' is none of ring8, grid25, grid25-long, digits, digits-long, digits-conditional; mnist and stacked"
        in said
    )


# Stacked digits.


def test_digits_are_stacked(digits: Data, tmp_path: Path) -> None:
    import stacked

    path = stacked.stack(digits, 50, tmp_path / "made" / "stacked.npy")
    images = np.load(path)
    assert (images.shape, images.dtype) == ((50, 8, 8, 3), np.uint8)
    known = {row.tobytes() for row in digits.array[..., 0]}
    channels = [images[i, :, :, channel].tobytes() for i in range(50) for channel in range(3)]
    assert set(channels) <= known
    assert len(set(channels)) > 100  # drawn one by one
    written = path.stat().st_mtime_ns
    assert stacked.stack(digits, 60, path).stat().st_mtime_ns == written


def test_digits_are_read_and_the_reader_is_kept(digits: Data, tmp_path: Path) -> None:
    import stacked

    reader = stacked.reader(digits, tmp_path / "reader.safetensors", least=0.85, passes=8)
    assert torch.equal(reader.read(digits.array[..., 0]), reader.read(digits.array[..., 0]))
    again = stacked.reader(digits, tmp_path / "reader.safetensors", least=2.0)
    assert torch.equal(again.read(digits.array[..., 0]), reader.read(digits.array[..., 0]))
    chosen = np.random.default_rng(0).integers(len(digits), size=(300, 3))
    images = digits.array[chosen][..., 0].transpose(0, 2, 3, 1)
    truth = torch.from_numpy(digits.labels[chosen] @ np.array([100, 10, 1]))
    assert (stacked.modes_of(images, reader) == truth).double().mean() > 0.8
    with pytest.raises(stacked.InaccurateReaderError, match=r"right on .*%.* it must be on 99.0%: give more digits"):
        stacked.reader(digits, tmp_path / "other.safetensors", passes=1)
    assert not (tmp_path / "other.safetensors").exists()


def test_modes_are_counted_by_hand() -> None:
    import stacked

    class Reader:
        """The level of the first pixel is the class."""

        classes = 10

        def read(self, images: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(images[:, 0, 0].astype(np.int64))

    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[:, 0, 0] = [[1, 2, 3], [1, 2, 3], [9, 9, 9], [0, 0, 7]]
    assert stacked.modes_of(images, Reader()).tolist() == [123, 123, 999, 7]
    found = stacked.modes_reached(images, Reader())
    assert found == {"modes": 3, "modes_kl": pytest.approx(math.log(1000) - 1.5 * math.log(2))}


# Stability.


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    import stability

    quick = {name: replace(field, kimg=2 * field.batch / 1000) for name, field in stability.FIELDS.items()}
    monkeypatch.setattr(stability, "FIELDS", quick)
    monkeypatch.setattr(stability, "_SAMPLES", 100)


@pytest.mark.usefixtures("_few")
def test_each_cell_is_run_both_ways_and_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import stability

    cell = "hinge/r1+r2/4"
    scores = stability.measure(["grid25"], [cell], 0, tmp_path / "stability.json")
    assert scores["grid25"][cell].keys() == {"plain", "poise"}
    assert all(0 <= score <= 1 for score in scores["grid25"][cell].values())
    assert capsys.readouterr().out.count(cell) == 2
    assert stability.measure(["grid25"], [cell], 0, tmp_path / "stability.json") == scores
    assert not capsys.readouterr().out
    with pytest.raises(SystemExit, match="has the runs of seed 0; give another file for seed 1"):
        stability.measure(["grid25"], [cell], 1, tmp_path / "stability.json")


@pytest.mark.usefixtures("_few")
def test_plain_loops_have_the_loss_and_penalty_of_their_cell() -> None:
    import stability

    def train(cell: str) -> Any:
        return stability.train_plain("grid25", stability.CELLS[cell], 0)

    assert train("vanilla/none/1") == train("vanilla/none/1")
    d_loss, g_loss = stability._objectives(stability.CELLS["wasserstein/r1/1"], stability.FIELDS["grid25"])
    critic, real, fake = torch.nn.Linear(2, 1, bias=False), torch.ones(3, 2), torch.zeros(3, 2)
    weight = critic.weight.detach()
    expected = -weight.sum() + 0.01 * weight.square().sum() / 2
    assert d_loss(critic, real, fake).item() == pytest.approx(expected.item())
    assert g_loss(critic, real, fake).item() == pytest.approx(0)


def test_a_run_succeeds_with_80_percent_of_the_best() -> None:
    import stability

    scores = {
        "vanilla/none/1": {"plain": 0.4, "poise": 0.79},
        "vanilla/none/4": {"plain": 0.81, "poise": 1.0},
        "hinge/r1/1": {"plain": 0.0, "poise": 0.8},
    }
    assert stability.successes(scores) == {"plain": ["vanilla/none/4"], "poise": ["vanilla/none/4", "hinge/r1/1"]}
    lines = stability.table("grid25", scores)
    assert lines[0] == "### grid25: runs that succeed: plain 1 of 3 (33%), poise 2 of 3 (67%)"
    assert lines[2] == "With 80 % of the best plain loop's score: plain 1 of 3 (33%), poise 3 of 3 (100%)."
    assert "| vanilla | none |  | 0.40 | **0.81** |  | 0.79 | **1.00** |" in lines


def test_the_default_has_the_loss_and_penalties_of_a_cell_and_d_its_factor(
    monkeypatch: pytest.MonkeyPatch, digits: Data
) -> None:
    import stability
    from poise.recipes import resolve

    asked: list[tuple[str, ...]] = []

    def poise(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(stability, "poise", poise)
    assert len(stability.CELLS) == 5 * 4 * 3
    assert stability.train_poise("digits", stability.CELLS["hinge/r1/4"], 0) == 0.0  # for it left no checkpoint
    (arguments,) = asked
    config = resolve(digits, None, {}, [it for before, it in pairwise(arguments) if before == "--set"])
    assert config.loss.class_ == "hinge"
    assert {name: it.weight for name, it in config.penalties.items()} == {"r1": 0.2}
    assert stability.d_rates(digits) == {"from": 2e-3, "to": 2e-5}
    assert config.d_optimizer.lr.options == {"from": 8e-3, "to": 8e-5}
    assert config.g_optimizer == resolve(digits).g_optimizer
