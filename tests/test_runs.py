"""Run directories: atomic files, rows, checkpoints, who holds a run, and how it is found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from poise.errors import CheckpointError, RunError
from poise.files import write_atomic
from poise.runs import Follower, JsonLines, Run, State, Status, find, last_row, memorable, read_rows, runs_under


def status(state: State = State.RUNNING, **fields: object) -> Status:
    return Status(
        **{
            "state": state,
            "step": 5,
            "nimg": 320,
            "target_steps": 10,
            "target_kimg": None,
            "seconds": 1.5,
            "pid": 1,
            "host": "here",
            **fields,
        }
    )


def make_run(path: Path) -> Run:
    run = Run(path)
    run.prepare()
    run.write_config("format: 1\n")
    return run


# Files.


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_come_back_but_for_a_torn_last_one(tmp_path: Path) -> None:
    rows = JsonLines(tmp_path / "log.jsonl")
    rows.append({"step": 1, "x": 0.5})
    rows.append({"step": 2, "x": float("nan")})
    with rows.path.open("a") as file:
        file.write('{"step": 3, "x":')
    assert read_rows(rows.path) == [{"step": 1, "x": 0.5}, {"step": 2, "x": None}]
    assert read_rows(tmp_path / "nothing.jsonl") == []


def test_keep_only_drops_rows_and_the_torn_line(tmp_path: Path) -> None:
    rows = JsonLines(tmp_path / "log.jsonl")
    for step in range(1, 6):
        rows.append({"step": step})
    with rows.path.open("a") as file:
        file.write('{"st')
    assert rows.keep_only(lambda row: row["step"] <= 3) == 2
    rows.append({"step": 4})
    assert rows.path.read_text() == "".join(f'{{"step": {step}}}\n' for step in range(1, 5))


# Checkpoints.


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    for step in range(1, 7):
        checkpoints.save(step, 64 * step, b"state %d" % step)
        if step == 2:
            checkpoints.mark_best(2, "swd", 0.25)
    assert [it.step for it in checkpoints.all()] == [2, 5, 6]
    assert checkpoints.best().best == {"step": 2, "metric": "swd", "value": 0.25}
    assert checkpoints.last().read() == b"state 6"
    assert checkpoints.last().nimg == 384
    checkpoints.mark_best(6, "swd", 0.125)
    assert [it.step for it in checkpoints.all()] == [5, 6]


def test_damage_is_named(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    path = checkpoints.save(1, 64, b"some state").path
    path.write_bytes(b"some stat")
    with pytest.raises(CheckpointError, match=r"00000001.safetensors is damaged: it has 9 bytes, not 10"):
        checkpoints.last().read()
    path.write_bytes(b"some stale")
    with pytest.raises(CheckpointError, match="its checksum is not the one it was written with"):
        checkpoints.last().read()
    path.with_suffix(".json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.last().read()


def test_a_state_without_its_record_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    checkpoints.save(1, 64, b"one")
    (checkpoints.directory / "00000002.safetensors").write_bytes(b"cut sho")
    (checkpoints.directory / ".00000003.safetensors.99.tmp").write_bytes(b"c")
    assert [it.step for it in checkpoints.all()] == [1]
    checkpoints.save(4, 256, b"four")
    names = sorted(path.name for path in checkpoints.directory.iterdir())
    assert names == ["00000001.json", "00000001.safetensors", "00000004.json", "00000004.safetensors"]


def test_a_damaged_checkpoint_set_aside_counts_no_longer(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    for step in (10, 100, 105):
        checkpoints.save(step, 64 * step, b"state")
    for checkpoint in checkpoints.all()[-2:]:
        checkpoints.set_aside(checkpoint)
    for step in (15, 20, 25):
        checkpoints.save(step, 64 * step, b"state")
    assert [it.step for it in checkpoints.all()] == [20, 25]
    assert len(list(checkpoints.directory.glob("*.safetensors.damaged"))) == 2


def test_a_best_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path).checkpoints
    checkpoints.save(1, 64, b"one")
    for content in ("[1]", "{", ""):
        (checkpoints.directory / "best.json").write_text(content)
        assert checkpoints.best() is None


# The directory.


@pytest.mark.parametrize(
    "content",
    [
        {"notes.txt": "mine"},
        {"config.yaml": "lr: 1\n"},
        {"log.jsonl": "", "config.yaml": "a: 1"},
        {"log.jsonl": "x", "events.jsonl": "hello world"},
        {"config.yaml": "format: csv"},
    ],
)
def test_a_directory_of_another_program_is_refused_and_not_touched(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match=r"is not a run of poise.*nothing in it was touched; give another directory"):
        Run(tmp_path).prepare()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == content


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file, not a run directory"):
        Run(tmp_path / "file").prepare()
    with pytest.raises(RunError, match="cannot be made"):
        Run(tmp_path / "file" / "below").prepare()


def test_the_second_process_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    run.write_status(status(pid=4321))
    code = f"from poise.runs import Run\nwith Run({str(run.path)!r}).claim(): print('held')"
    with run.claim():
        assert run.is_held()
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "run a is being trained by another process (process 4321 on here)" in other.stderr
    assert not run.is_held()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"held\n"


def test_states(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert run.state() is None
    run.write_status(status())
    assert run.state() is State.KILLED
    with run.claim():
        assert run.state() is State.RUNNING
    run.write_status(status(State.FINISHED))
    assert run.state() is State.FINISHED


def test_steps_at_risk(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.steps_at_risk() == 0
    run.checkpoints.save(100, 6400, b"")
    run.log.append({"step": 130})
    assert run.steps_at_risk() == 30


def test_readers_accept_some_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "kid": 0.5}) + "\n")
    run = find(tmp_path)
    assert run.state() is None
    assert run.last_row() == {}
    assert run.checkpoints.all() == []


def test_find(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "amber-heron"), make_run(tmp_path / "quiet-otter")
    os.utime(first.config_path, (1, 1))
    assert [run.name for run in runs_under(tmp_path)] == ["quiet-otter", "amber-heron"]
    assert find(None, tmp_path).path == second.path
    assert find("amber-heron", tmp_path).path == first.path
    assert find(str(first.path), tmp_path).path == first.path
    with pytest.raises(RunError, match="did you mean 'amber-heron'"):
        find("amber-hero", tmp_path)
    with pytest.raises(RunError, match="there is no run under"):
        find(None, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="is not a run of poise"):
        find("empty", tmp_path)


def test_a_path_is_not_taken_for_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("runs/quiet-otter", "quiet-otter", "deep/quiet-otter"):
        make_run(tmp_path / path)
    assert find("quiet-otter").path == Path("runs/quiet-otter")
    assert find("./quiet-otter").path == Path("quiet-otter")
    (tmp_path / "runs/amber").mkdir()
    make_run(tmp_path / "amber")
    assert find("amber").path == Path("amber")  # as it is none under runs
    monkeypatch.chdir("deep")
    assert find("../quiet-otter").path == Path("../quiet-otter")
    monkeypatch.chdir("quiet-otter")
    assert find(".").path == Path()
    with pytest.raises(RunError, match=r"there is no run '\./quiet-otte'"):
        find("./quiet-otte")


def test_names_follow_from_the_identity() -> None:
    assert memorable("a") == memorable("a")
    names = {memorable("a", attempt) for attempt in range(50)}
    assert len(names) > 40
    assert all(len(name.split("-")) == 2 for name in names)


# Files as they grow.


def test_a_follower_gives_each_row_once_and_waits_for_a_torn_one(tmp_path: Path) -> None:
    rows = JsonLines(tmp_path / "log.jsonl")
    follower = Follower(rows.path)
    assert follower.look() == ([], False)
    rows.append({"step": 1})
    assert follower.look() == ([{"step": 1}], False)
    assert follower.look() == ([], False)
    with rows.path.open("a") as file:
        file.write('{"step": 2}\n{"st')
    assert follower.look() == ([{"step": 2}], False)
    with rows.path.open("a") as file:
        file.write('ep": 3}\n')
    assert follower.look() == ([{"step": 3}], False)


def test_a_follower_begins_again_when_rows_were_dropped(tmp_path: Path) -> None:
    rows = JsonLines(tmp_path / "log.jsonl")
    follower = Follower(rows.path)
    for step in range(1, 4):
        rows.append({"step": step, "seconds": 0.5})
    follower.look()
    rows.keep_only(lambda row: row["step"] < 2)
    for step in (2, 3, 4):  # as long as before, and longer
        rows.append({"step": step, "seconds": 0.7})
    news = follower.look()
    assert news.afresh
    assert [row["step"] for row in news.rows] == [1, 2, 3, 4]
    rows.path.unlink()
    assert follower.look() == ([], True)


def test_pictures_are_those_of_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    run.samples.mkdir()
    for name in ("00000016.png", "00000002.png", "real.png", ".00000032.png.1.tmp"):
        (run.samples / name).touch()
    assert {step: path.name for step, path in run.pictures().items()} == {2: "00000002.png", 16: "00000016.png"}


def test_the_last_row_is_found_from_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = JsonLines(tmp_path / "log.jsonl")
    assert last_row(rows.path) == {}
    for step in range(1, 50):
        rows.append({"step": step, "long": "x" * (3 * step)})
    with rows.path.open("a") as file:
        file.write('{"step": 50, "lo')
    for block in (1, 10, 100, 1000, 100_000):
        monkeypatch.setattr("poise.runs.rows._BLOCK", block)
        assert last_row(rows.path)["step"] == 49
    rows.path.write_text("no rows\n")
    assert last_row(rows.path) == {}
