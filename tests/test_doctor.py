"""``poise doctor`` and the verdict: on whole runs, on what is left of runs, and on files of other programs."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from by_hand import COLLAPSE, OVER, make_run
from poise.diagnosis import Finding
from poise.diagnosis.course import Course
from poise.diagnosis.detectors import DETECTORS, Detector
from poise.report import Record, events_of, verdict_of
from poise.runs import Run, State, Status


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Finding]], None]:
    """Let diagnosis find these, whatever the numbers."""

    def find(findings: Sequence[Finding]) -> None:
        monkeypatch.setattr(Record, "findings", findings)

    return find


def test_findings_are_told_with_evidence_cause_and_advice(poise: Any, tmp_path: Path, found: Any) -> None:
    make_run(tmp_path / "runs/r")
    found([COLLAPSE, OVER])
    told = poise("doctor", "r").stdout
    assert told.startswith("r (finished, step 4,000)\nThis run is in trouble: mode collapse.\n")
    assert "severe: mode collapse, since step 1,200\n" in told
    assert "evidence: diversity 0.1235, classes 3" in told
    assert "cause:    D does not see that samples resemble each other.\n" in told
    assert "advice:   Give D a minibatch_stddev.\n" in told
    assert "warning: discriminator wins, step 10 to 90, ended\n" in told


def test_a_finding_that_samples_show_names_the_first_picture_of_it(poise: Any, tmp_path: Path, found: Any) -> None:
    run = make_run(tmp_path / "runs/r")
    run.samples.mkdir()
    for step in (100, 1200, 4000):
        (run.samples / f"{step:08d}.png").touch()
    unseen = replace(COLLAPSE, kind="exploding_gradients")
    found([COLLAPSE, unseen, OVER])  # the last was over before any picture was made
    assert poise("doctor", "r").stdout.count("picture:") == 1
    pictures = [it["evidence"].get("picture") for it in json.loads(poise("doctor", "r", "--json").stdout)]
    assert [it and Path(it).name for it in pictures] == ["00001200.png", None, None]


def test_findings_as_json_and_strict(poise: Any, tmp_path: Path, found: Any) -> None:
    make_run(tmp_path / "runs/r")
    found([COLLAPSE, OVER])
    first, second = json.loads(poise("doctor", "r", "--json").stdout)
    assert set(first) == {"kind", "severity", "since_step", "last_step", "evidence", "cause", "advice", "ended"}
    assert (first["kind"], first["severity"], first["ended"]) == ("mode_collapse", "severe", False)
    assert first["evidence"]["bad"] is None  # JSON has no NaN
    assert second["ended"] is True
    assert json.loads(poise("doctor", "r", "--json", "--strict", code=1).stdout)[0] == first
    poise("doctor", "--strict", code=1)
    found([OVER])
    poise("doctor", "r", "--strict")


def test_where_nothing_is_found_it_says_what_it_looked_at_and_what_it_could_not_judge(
    poise: Any, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "runs/r", rows=5)
    told = poise("doctor").stdout
    assert "Nothing is wrong, as far as the files tell.\n" in told
    assert "Looked at: 5 rows of the log (step 100 to 500); 1 evaluation (step 500)." in told
    assert "Not judged: whether it is past its best: that needs 4 evaluations, and there are 1." in told
    assert "there is no row of watch.jsonl" in told
    run.probes.append({"step": 100, "diversity": 0.9})
    assert "1 probe of the watch (step 100)" in " ".join(poise("doctor").stdout.split())


@pytest.mark.parametrize("gone", ["config.yaml", "log.jsonl", "metrics.jsonl", "status.json"])
def test_any_file_may_be_missing_or_damaged(poise: Any, tmp_path: Path, gone: str) -> None:
    run = make_run(tmp_path / "runs/r")
    for content in (b"\xff\xfe{{[", b"", b"[1]\nnull\n3\n", b'{"step": "x"}\n{"step": true, "kid": 1}\n{"step": -1}\n'):
        (run.path / gone).write_bytes(content)
        if gone == "config.yaml":
            (run.path / gone).write_bytes(b"format: 1\n" + content)
        poise("doctor", "r")
    (run.path / gone).unlink()
    assert json.loads(poise("doctor", "r", "--json").stdout) == []


def test_a_killed_run_and_one_that_only_began(poise: Any, tmp_path: Path) -> None:
    make_run(tmp_path / "runs/killed", state=State.RUNNING)
    assert "killed (killed, step 4,000)" in poise("doctor", "killed").stdout
    began = Run(tmp_path / "runs/began")
    began.prepare()
    began.write_config("format: 1\n")
    told = poise("doctor", "began").stdout
    assert "There is nothing to judge yet: no row of numbers is written." in told
    assert "losses, gradients and who leads: there is no row of log.jsonl" in told


def test_a_failed_run_says_why(poise: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs/r")
    run.write_status(Status(State.FAILED, 1, 64, None, None, 1.0, 1, "here", reason="OutOfMemory: no room\nmore"))
    assert "The training failed: OutOfMemory: no room.\n" in poise("doctor", "r").stdout
    for step in range(4):
        run.probes.append({"step": step, "checkerboard": 20.0})
    verdict = verdict_of(Record.read(run))
    assert verdict.level == "severe"
    assert verdict.headline == "The training failed: OutOfMemory: no room. Found: checkerboard."


def test_measurements_alone_are_judged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.probes.append({"step": 100, "diversity": 0.9})
    assert verdict_of(Record.read(run)).level == "good"


def test_a_detector_that_fails_is_told_beside_what_the_others_found(
    poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(course: Course) -> None:
        raise ZeroDivisionError("a bad day")

    detectors = {**DETECTORS, "dead_units": Detector(crash, frozenset({"probes"}))}
    monkeypatch.setattr("poise.diagnosis.diagnosis.DETECTORS", detectors)
    make_run(tmp_path / "runs/r").probes.append({"step": 1, "opposes": 0.0})
    told = poise("doctor", "r").stdout
    assert "severe: wrong sign" in told
    assert "Not judged: dead units: its detector failed (ZeroDivisionError: a bad day)." in told


def test_a_file_of_rows_alone(poise: Any, tmp_path: Path) -> None:
    rows = [{"nimg": 1000 * index, "my score": 1 / index, "note": "x"} for index in range(1, 9)]
    path = tmp_path / "alone/metrics.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"nimg": 9000, "my sc')
    for given in (path, path.parent):
        told = poise("doctor", given).stdout
        assert "8 evaluations (image 1,000 to 8,000)" in told
        assert "of no number of the evaluations is it known which way it is better" in " ".join(told.split())
        assert json.loads(poise("doctor", given, "--json").stdout) == []
    record = Record.of_file(path)
    assert (record.unit, record.metrics[0]["step"], record.last_step) == ("image", 1000, 8000)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("watch.jsonl", "probes"), ("log.jsonl", "log"), ("mine.jsonl", "log"), ("metrics.jsonl", "metrics")],
)
def test_what_the_rows_of_a_file_are(tmp_path: Path, name: str, rows: str) -> None:
    path = tmp_path / name
    path.write_text("".join(f'{{"step": {step}, "d_loss": {step}.5, "g_loss": 1}}\n' for step in range(9)))
    record = Record.of_file(path)
    assert len(getattr(record, rows)) == 9
    assert record.findings == []


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 20, "fid": 2}\n{"step": 1e1, "fid": 1}\n{"fid": 3}\n')
    assert [row["step"] for row in Record.of_file(path).metrics] == [10, 20]


def test_what_is_no_run_and_no_rows_is_refused(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello\n")
    refused = poise("doctor", "text.txt", code=2).stderr
    assert (
        'text.txt has no row to judge: give a run\'s directory, or a file of JSON lines each of which has a "step"'
        in refused
    )
    (tmp_path / "empty").mkdir()
    assert "is not a run of poise" in poise("doctor", "empty", code=2).stderr
    assert "there is no run 'nowhere'" in poise("doctor", "nowhere", code=2).stderr


def test_it_loads_neither_torch_nor_charts(tmp_path: Path) -> None:
    make_run(tmp_path / "r")
    code = (
        "import sys; from poise.cli import main; sys.argv = ['poise', 'doctor', sys.argv[1]]\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'plotly', 'pydantic', 'starlette'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "r"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_what_was_done_is_told(poise: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs/r")
    finding = COLLAPSE.to_json()
    for event in (
        {"step": 1200, "kind": "finding_began", "severity": "severe", "evidence": finding, "action": "trains on"},
        {"step": 1300, "kind": "rolled_back", "evidence": {"finding": finding}, "action": "went back to step 900"},
        {"step": 1400, "kind": "hook_failed", "evidence": {"error": "full"}, "action": "trains on without it"},
        {"step": 1500, "kind": "settings_changed", "evidence": {"changes": ["a: 1 -> 2", "b"]}, "action": "went on"},
        {"step": "x", "kind": "odd"},
        {"step": 1600, "kind": "bare", "evidence": 3},
    ):
        run.events.append(event)
    assert [(event["step"], event["kind"], event["about"]) for event in events_of(Record.read(run))] == [
        (1300, "rolled back", "mode collapse"),
        (1400, "hook failed", "full"),
        (1500, "settings changed", "a: 1 -> 2; b"),
        (1600, "bare", ""),
    ]
    assert "step 1,300: rolled back (mode collapse); went back to step 900\n" in poise("doctor", "r").stdout
