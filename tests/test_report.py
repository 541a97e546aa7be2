"""Pages of runs: what they hold, how large they may be, and what is text in them. test_pages.py opens them."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from by_hand import make_run
from poise.metrics import BETTER
from poise.report import Record
from poise.report.charts import charts_of, ruler_of
from poise.report.curves import is_logarithmic, smooth, thin
from poise.report.html import render
from poise.report.page import page_of
from poise.report.pictures import embedded
from poise.report.scores import BETTER as SHOWN_BETTER
from poise.report.scores import scores_of
from poise.report.spread import spread
from poise.runs import Run


def data_of(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


# Curves.


def test_a_thinned_curve_keeps_its_ends_and_every_peak_that_is_highest_or_lowest_around() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 500)
    y[12_345], y[77_777] = 50.0, -50.0
    few, values = thin(x, y, 200)
    assert len(few) <= 200
    assert (few[0], few[-1]) == (x[0], x[-1])
    assert np.all(np.diff(few) > 0)
    assert dict(zip(few, values, strict=True))[12_345] == 50.0
    assert dict(zip(few, values, strict=True))[77_777] == -50.0


@pytest.mark.parametrize("n", [0, 1, 2, 9, 10, 11, 12, 25])
def test_curves_of_any_length_are_thinned(n: int) -> None:
    x, y = thin(np.arange(float(n)), np.arange(float(n)), 10)
    assert len(x) == len(y) == min(n, len(x)) <= 10
    assert list(x[-1:]) == [n - 1] * (n > 0)


def test_a_constant_is_its_own_average_and_noise_is_averaged_out() -> None:
    x = np.arange(5000.0)
    _, constant = smooth(x, np.full(5000, 3.0))
    assert constant == pytest.approx(3.0)
    places, mean = smooth(x, 1 + np.random.default_rng(0).normal(size=5000))
    assert len(places) <= 300
    assert places[-1] == x[-1]
    assert np.abs(mean[50:] - 1).max() < 0.2


def test_axes_are_logarithmic_where_values_are_above_0_and_spread_over_a_decade() -> None:
    assert is_logarithmic([np.logspace(-5, 1, 50)])
    assert not is_logarithmic([np.linspace(1, 2, 50)])
    assert not is_logarithmic([np.array([0.0, 1e3, 1e6])])
    assert not is_logarithmic([np.append(np.ones(99), 1e6)])  # one peak
    assert not is_logarithmic([])


# What is charted.


def test_numbers_that_belong_together_are_in_one_chart(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    run.prepare()
    row = {
        "d_loss": 1,
        "g_loss": 2,
        "r1_loss": 0.1,
        "d_real": 1,
        "d_fake": 0,
        "d_loss_total": 3,
        "mine": 4,
        "text": "a",
    }
    run.log.append({"step": 1, "nimg": 64, **row})
    run.metrics.append({"step": 1, "fid": 3.0, "kid": None, "precision": 0.5, "recall": 0.4, "fake_samples": 10})
    for step in (0, 1):  # what was measured once is no curve
        run.probes.append({"step": step, "diversity": 0.5, "swd": 1, "swd_floor": 0.1} | ({"once": 1} if step else {}))
    charts = {chart["key"]: [curve["name"] for curve in chart["series"]] for chart in charts_of(Record.read(run))[0]}
    assert charts == {
        "score-fid": ["fid"],
        "prdc": ["precision", "recall"],
        "losses": ["D", "G"],
        "logits": ["real", "generated"],
        "penalties": ["r1_loss"],
        "distance": ["generated", "floor"],
        "diversity": ["on average"],
        "log-mine": ["mine"],
    }


def test_of_very_many_numbers_the_first_are_drawn_and_the_rest_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=0)
    for step in (1, 2):
        run.metrics.append({"step": step} | {f"m{index:02d}": 1.0 for index in range(30)})
    charts, not_drawn = charts_of(Record.read(run))
    assert len(charts) == 24
    assert not_drawn == [f"m{index}" for index in range(24, 30)]


def test_what_is_not_finite_is_left_out_of_curves_and_null_in_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=3)
    with run.log.path.open("a") as file:
        file.write('{"step": 400, "nimg": 1, "d_loss": NaN}\n{"step": 500, "d_loss": Infinity, "x": [NaN]}\n')
    data = data_of(render([Record.read(run)]))
    (losses,) = [chart for chart in data["runs"][0]["charts"] if chart["key"] == "losses"]
    assert losses["series"][0]["y"] == [1, 1, 1]


def test_the_ruler_goes_from_steps_to_images_and_hours(tmp_path: Path) -> None:
    ruler = ruler_of(Record.read(make_run(tmp_path / "r")))
    assert ruler["kimg_at"][-1] == 4000
    assert ruler["kimg"][-1] == 256
    assert ruler["hours"][-1] == pytest.approx(80 / 3600, rel=1e-4)


def test_a_long_run_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=0)
    with run.log.path.open("w") as file:
        for step in range(60_000):
            wave = math.sin(step / 1000)
            file.write(f'{{"step": {step}, "nimg": {step}, "seconds": {step}, "d_loss": {wave}, "g_loss": {-wave}}}\n')
    page = json.dumps(page_of([Record.read(run)]))
    assert len(page) < 150_000


# Scores.


def test_pages_know_which_way_each_score_is_better() -> None:
    assert SHOWN_BETTER == BETTER


def test_scores_that_were_measured_in_different_ways_are_not_compared(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=0)
    run.metrics.append({"step": 1, "kid": 0.1, "precision": 0.9, "features": "raw", "fake_samples": 2000})
    run.metrics.append({"step": 2, "kid": 0.5, "precision": 0.3, "features": "inception", "fake_samples": 2000})
    run.metrics.append({"step": 3, "kid": 0.6, "precision": 0.2, "features": "inception", "fake_samples": 2000})
    run.checkpoints.save(2, 1, b"state")
    run.checkpoints.mark_best(2, "precision", 0.3)
    precision, kid = scores_of(Record.read(run))
    assert (kid["last"], kid["best"], kid["best_step"]) == (0.6, 0.5, 2)
    assert (precision["best"], precision["chosen"], kid["chosen"]) == (0.3, True, False)
    assert kid["how"] == "inception features, 2,000 samples"


# Pictures.


def test_pictures_are_thinned_to_a_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "r")
    run.samples.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for step in range(1, 101):
        Image.fromarray(pixels).save(run.samples / f"{step:08d}.png")
    (run.samples / "00000050.png").write_bytes(b"\x89PNG half")
    Image.fromarray(pixels).save(run.real_picture)
    pictures = page_of([Record.read(run)])["runs"][0]["pictures"]
    assert [pictures["frames"][0]["step"], pictures["frames"][-1]["step"]] == [1, 100]
    assert len(pictures["frames"]) <= 40
    assert pictures["left_out"] == 100 - len(pictures["frames"])
    assert pictures["real"].startswith("data:image/png;base64,")
    monkeypatch.setattr("poise.report.page._PICTURE_BYTES", 60_000)
    fewer = page_of([Record.read(run)])["runs"][0]["pictures"]["frames"]
    assert sum(len(frame["src"]) for frame in fewer) <= 60_000
    assert (fewer[0]["step"], fewer[-1]["step"]) == (1, 100)


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 1500), dtype=np.uint8)).save(path)
    url = embedded(path)
    assert url is not None
    assert url.startswith("data:image/webp;base64,")
    assert len(url) < path.stat().st_size
    assert embedded(tmp_path / "none.png") is None


def test_spread_keeps_the_first_and_the_last() -> None:
    assert spread([3, 5, 8], 5) == [3, 5, 8]
    assert spread(list(range(100)), 4) == [0, 33, 66, 99]


# The file.


def test_a_report_of_a_trained_run(poise: Any, tmp_path: Path) -> None:
    tiny = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--batch", "8", "--steps", "20"]
    poise("train", "digits", *tiny, "--run", "runs/r", "--set", "log.every_steps=2")
    written = poise("report", "r").stdout
    assert written == "A page of r in runs/r/report.html; open it in a browser\n"
    html = (tmp_path / "runs/r/report.html").read_text()
    (run,) = data_of(html)["runs"]
    assert run["facts"]["state"] == "finished"
    assert [frame["step"] for frame in run["pictures"]["frames"]] == [16, 20]
    assert run["pictures"]["real"]
    assert run["reproduce"][-1] == "poise train digits --recipe config.yaml --run r-again"
    assert {"balance", "losses", "logits", "gradients", "speed"} <= {chart["key"] for chart in run["charts"]}
    # The commands that it gives do train the same run again.
    (tmp_path / "config.yaml").write_text(run["settings"])
    poise(*run["reproduce"][-1].split()[1:])
    again, first = (
        json.loads((tmp_path / f"{path}/log.jsonl").read_text().splitlines()[-1]) for path in ("r-again", "runs/r")
    )
    assert (again["d_loss"], again["g_loss"]) == (first["d_loss"], first["g_loss"])


def test_runs_are_compared(poise: Any, tmp_path: Path) -> None:
    make_run(tmp_path / "runs/a")
    other = make_run(tmp_path / "runs/b", rows=10)
    other.write_config("format: 1\ndata: digits\nseed: 4\nloss:\n  class: hinge\n")
    assert "A page of 2 runs in report.html" in poise("report", "a", "b").stdout
    data = data_of((tmp_path / "report.html").read_text())
    assert [run["name"] for run in data["runs"]] == ["a", "b"]
    assert data["differences"] == [
        {"path": "seed", "values": ["3", "4"]},
        {"path": "loss.class", "values": ["vanilla", "hinge"]},
    ]
    poise("report", "a", tmp_path / "runs/a", "-o", "twice.html")
    assert [run["name"] for run in data_of((tmp_path / "twice.html").read_text())["runs"]] == ["a (1)", "a (2)"]


def test_a_report_of_one_file_and_of_a_run_that_only_began(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "fid": 3}\n{"step": 2, "fid": 2}\n')
    poise("report", "metrics.jsonl")
    assert data_of((tmp_path / "report.html").read_text())["runs"][0]["charts"][0]["title"] == "FID"
    began = Run(tmp_path / "began")
    began.prepare()
    began.write_config("format: 1\n")
    poise("report", "began")
    assert data_of((tmp_path / "began/report.html").read_text())["runs"][0]["verdict"]["level"] == "unknown"


def test_what_runs_say_is_text_in_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "<img src=x onerror=alert(1)>")
    run.write_config("format: 1\ndata: '</script><script>alert(1)</script>'\n")
    html = render([Record.read(run)])
    assert "<img src=x" not in html
    assert "<script>alert(1)" not in html
    data = data_of(html)["runs"][0]
    assert "</script><script>alert(1)" in data["settings"]
    assert data["name"] == "<img src=x onerror=alert(1)>"


def test_the_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    html = render([Record.read(make_run(tmp_path / "r"))])
    assert "default-src 'none'" in html
    page = html.replace(re.findall(r"<script>\n(.*?)\n</script>", html, re.DOTALL)[0], "")  # without Plotly itself
    assert not re.search(r"https?://", page)


def test_without_plotly_it_says_what_to_install(poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poise.report.html import plotly

    make_run(tmp_path / "runs/r")
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    plotly.cache_clear()
    assert "charts need the 'plotly' package: pip install 'poise[report]'" in poise("report", "r", code=2).stderr
    assert not (tmp_path / "runs/r/report.html").exists()


GARBAGE = [
    b"\xff\xfe\x00garbage",
    b"[1, 2]\n[[\n",
    b'{"step": 1, "nimg": "x", "seconds": [], "d_loss": {}, "d_accuracy": "high", "kid": "NaN", "state": 3}\n',
    b'{"step": 1e300, "kid": 1}\n{"step": 5, "kid": -1e308}\n{"step": 6, "kid": 1e308, "features": [1]}\n',
    b'{"step": 3, "kind": 4, "evidence": ""}\n{"step": 3, "kind": "x", "evidence": [1], "action": {}}\n',
    b"format: 1\ndata: 2020-01-01\nfingerprint: 2020-01-01\nloss: [1, {2: 3}]\nseed: .nan\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_whatever_is_in_a_runs_files_there_is_a_page_and_a_verdict(tmp_path: Path, poise: Any, garbage: bytes) -> None:
    run = make_run(tmp_path / "runs/r")
    run.write_machine({})
    (run.path / "checkpoints").mkdir()
    (run.path / "samples").mkdir()
    for name in (
        *("log.jsonl", "metrics.jsonl", "watch.jsonl", "events.jsonl", "evaluations.jsonl", "status.json"),
        *("machine.json", "checkpoints/best.json", "checkpoints/00000100.json", "samples/00000100.png"),
    ):
        with (run.path / name).open("ab") as file:
            file.write(garbage)
    run.config_path.write_bytes(b"format: 1\n" + garbage.removeprefix(b"format: 1\n"))
    poise("report", "r")
    poise("doctor", "r")
    json.loads(poise("doctor", "r", "--json").stdout)
