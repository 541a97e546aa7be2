"""The board's server: what it answers, whom it refuses, how it begins and ends. test_pages.py opens its pages."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from by_hand import make_run
from poise.board.reader import Reader
from poise.board.shelf import Shelf
from poise.errors import RunError
from poise.report import Record
from poise.runs import Run, State, Status, runs_under
from serving import Board, serving


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b <i>", rows=10)
    with serving(tmp_path) as it:
        yield it


# What it answers.


def test_the_table_has_every_run_with_its_state_scores_and_verdict(board: Board, tmp_path: Path) -> None:
    row = board.told("a")
    assert (row["state"], row["step"], row["target_kimg"]) == ("finished", 4000, 256.0)
    assert row["verdict"] == {
        "level": "good",
        "headline": "Nothing is wrong, as far as the files tell.",
        "kinds": [],
    }
    assert {row["name"] for row in board.ask("/api/table").json} == {"a", "b <i>"}
    (tmp_path / "no run").mkdir()
    make_run(tmp_path / "new")
    assert board.ask("/api/table").json[0]["name"] == "new"


def test_a_page_of_one_run_and_of_several(board: Board) -> None:
    (run,) = board.ask("/api/runs?run=a").json["runs"]
    assert run["facts"]["step"] == 4000
    assert {"balance", "losses", "score-kid"} <= {chart["key"] for chart in run["charts"]}
    both = board.ask("/api/runs?run=a&run=b%20%3Ci%3E&run=nothing").json["runs"]
    assert [run["name"] for run in both] == ["a", "b <i>"]
    assert board.ask("/api/runs?run=nothing").status == 404


def test_what_has_not_changed_is_not_sent_again(board: Board, tmp_path: Path) -> None:
    first = board.ask("/api/runs?run=a")
    again = board.ask("/api/runs?run=a", If_None_Match=first.headers["etag"])
    assert (again.status, again.content) == (304, b"")
    Run(tmp_path / "a").log.append({"step": 4100, "nimg": 1, "d_loss": 2.0})
    news = board.ask("/api/runs?run=a", If_None_Match=first.headers["etag"])
    assert news.status == 200
    assert news.json["runs"][0]["verdict"]["looked_at"][0] == "41 rows of the log (step 100 to 4,100)"


def test_pictures_are_those_of_runs_and_nothing_else(board: Board, tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    run.samples.mkdir()
    (run.samples / "00000016.png").write_bytes(b"picture")
    run.real_picture.write_bytes(b"real")
    (run.samples / "secret.png").write_bytes(b"secret")
    pictures = board.ask("/api/runs?run=a").json["runs"][0]["pictures"]
    assert board.ask(pictures["frames"][0]["src"]).content == b"picture"
    assert board.ask(pictures["real"]).content == b"real"
    for query in (
        "run=a&file=secret.png",
        "run=a&file=../config.yaml",
        "run=a&file=..%2Fconfig.yaml",
        "run=../x&file=real.png",
        "run=.&file=real.png",
        "run=&file=",
        "",
    ):
        assert board.ask(f"/picture?{query}").status == 404, query
    for path in ("/static/../board.html", "/static/..%2f..%2fapp.py", "/static/app.py", "/etc/passwd", "//etc/passwd"):
        assert board.ask(path).status == 404, path


def test_no_name_is_markup_in_the_page(board: Board) -> None:
    html = board.ask("/view?run=%3Cscript%3Ealert(1)%3C/script%3E").content.decode()
    assert "alert(1)" not in html


def test_a_crash_of_a_page_is_an_answer(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr("poise.board.app.page_of", crash)
    answer = board.ask("/api/runs?run=a")
    assert (answer.status, answer.json) == (500, {"error": "ValueError: no such luck"})
    assert board.ask("/api/table").status == 200


def test_a_run_that_cannot_be_judged_takes_nothing_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Record.read

    def fail(run: Run) -> Record:
        if run.name == "bad":
            raise ValueError("a strange file")
        return read(run)

    monkeypatch.setattr(Record, "read", fail)
    make_run(tmp_path / "bad")
    make_run(tmp_path / "good")
    with serving(tmp_path) as board:
        assert board.told("bad")["verdict"]["headline"] == "cannot be judged: a strange file"
        assert board.told("good")["verdict"]["level"] == "good"


# Whom it refuses.


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost:80:80", "192.168.1.5:8950"])
def test_other_names_than_this_machines_are_refused(board: Board, host: str) -> None:
    answer = board.ask("/api/table", Host=host)
    assert answer.status == 403
    assert b"open it by the address that 'poise board' printed" in answer.content


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8950", "LOCALHOST"])
def test_names_of_this_machine_are_answered(board: Board, host: str) -> None:
    assert board.ask("/api/table", Host=host).status == 200


def test_on_another_address_it_answers_to_addresses_and_to_its_own_name(tmp_path: Path) -> None:
    with serving(tmp_path, "0.0.0.0") as board:
        for host, status in (("192.168.1.5:8950", 200), (socket.gethostname(), 200), ("evil.example", 403)):
            assert board.ask("/api/table", Host=host).status == status


def test_pages_of_others_are_refused(board: Board) -> None:
    assert board.ask("/api/table", Origin="http://evil.example").status == 403
    assert board.ask("/api/table", Origin="null").status == 403
    assert board.ask("/api/table", Origin=board.url).status == 200


def test_answers_tell_browsers_to_keep_them_to_themselves(board: Board) -> None:
    headers = board.ask("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.fixture
def running(board: Board, tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "a")
    run.write_status(Status(State.RUNNING, 1, 64, None, None, 1.0, 1, "here"))
    with run.claim():
        yield run


def test_a_run_is_asked_for_a_checkpoint_and_to_stop(board: Board, running: Run) -> None:
    given = {"Origin": board.url, "X_Poise_Token": board.token()}
    assert board.ask("/api/ask?run=a&for=checkpoint", "POST", **given).status == 202
    assert running.checkpoint_request.exists()
    assert not running.stop_request.exists()
    assert board.ask("/api/ask?run=a&for=stop", "POST", **given).status == 202
    assert running.stop_request.exists()
    assert board.ask("/api/ask?run=a&for=delete", "POST", **given).status == 404
    assert board.ask("/api/ask?run=nothing&for=stop", "POST", **given).status == 404
    finished = board.ask("/api/ask?run=b%20%3Ci%3E&for=stop", "POST", **given)
    assert (finished.status, finished.json) == (409, {"error": "b <i> is not running"})


def test_only_the_boards_own_pages_may_ask_for_something(board: Board, running: Run) -> None:
    token = board.token()
    for headers in (
        {},
        {"Origin": board.url},
        {"X_Poise_Token": token},
        {"Origin": board.url, "X_Poise_Token": "guess"},
        {"Origin": "http://evil.example", "X_Poise_Token": token},
        {"Origin": "http://localhost:1", "X_Poise_Token": token},
    ):
        assert board.ask("/api/ask?run=a&for=stop", "POST", **headers).status == 403, headers
    assert board.ask("/api/ask?run=a&for=stop").status == 405
    assert not running.stop_request.exists()


# What it reads.


def test_what_may_not_be_read_takes_nothing_from_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("good", "closed", "lost+found"):
        make_run(tmp_path / name)
    opened, stat = Path.open, Path.stat

    def open_(path: Path, *given: Any, **options: Any) -> Any:
        if path.parent.name == "closed" and path.name == "log.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *given, **options)

    def stat_(path: Path, **options: Any) -> os.stat_result:
        if path.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(Path, "stat", stat_)
    rows = {row["name"]: row for row in Shelf(tmp_path).table()}
    assert rows.keys() == {"good", "closed"} == {run.name for run in runs_under(tmp_path)}
    assert (rows["good"]["step"], rows["good"]["reason"]) == (4000, "")
    assert (rows["closed"]["state"], rows["closed"]["reason"]) == ("finished", "[Errno 13] Permission denied")


def test_a_reader_judges_what_is_new_as_if_it_had_read_all_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=0)
    reader = Reader(run)
    for part in range(4):
        for step in range(1 + 5 * part, 6 + 5 * part):
            run.metrics.append({"step": 100 * step, "kid": step if step > 2 else 1.0})
        record = reader.record()
        assert record is reader.record()
        assert record.findings == Record.read(run).findings
    assert "past_best" in [finding.kind for finding in record.findings]
    run.metrics.keep_only(lambda row: row["step"] <= 200)
    assert reader.record().findings == []
    assert len(reader.record().metrics) == 2


def test_a_reader_forgets_what_broke_before_a_run_went_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", rows=2)
    reader = Reader(run)
    run.events.append({"step": 1000, "kind": "non_finite", "evidence": {"error": "nan"}})
    assert [it.kind for it in reader.record().findings] == ["non_finite"]
    run.events.append({"step": 1000, "kind": "rolled_back"})
    assert reader.record().findings == []


def test_many_runs_are_read_once_as_long_as_they_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(60):
        make_run(tmp_path / f"run{index:03d}", rows=2)
    shelf = Shelf(tmp_path)
    assert len(shelf.table()) == 60
    read: list[str] = []
    facts_of = Run.last_row

    def last_row(run: Run) -> Any:
        read.append(run.name)
        return facts_of(run)

    monkeypatch.setattr(Run, "last_row", last_row)
    shelf.table()
    assert read == []
    Run(tmp_path / "run007").log.append({"step": 300, "nimg": 3})
    assert next(row for row in shelf.table() if row["name"] == "run007")["step"] == 300
    assert set(read) == {"run007"}
    (tmp_path / "run007/log.jsonl").unlink()
    for path in (tmp_path / "run008").iterdir():
        path.unlink()
    (tmp_path / "run008").rmdir()
    assert "run008" not in {row["name"] for row in shelf.table()}
    shelf.close()


def test_what_is_no_folder_of_runs_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "r")
    with pytest.raises(RunError, match=f"is a run; give the directory that it is in: {tmp_path}"):
        Shelf(tmp_path / "r")
    with pytest.raises(RunError, match="is a file; give a directory of runs"):
        Shelf(tmp_path / "r/config.yaml")
    shelf = Shelf(tmp_path / "later")
    assert shelf.table() == []
    make_run(tmp_path / "later/r")
    assert len(shelf.table()) == 1
    shelf.close()


# How it begins and ends.


@contextmanager
def started(root: Path, *options: str, **given: Any) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The board as a process, and what it said until it was there."""
    command = [sys.executable, "-m", "poise", "board", str(root), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **given)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not any("until Ctrl-C" in line for line in lines):
            line = process.stdout.readline()
            assert line, "".join(lines)
            lines.append(line)
        yield process, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_quietly(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)

    def heed() -> None:  # whatever started the tests may ignore it
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    with started(tmp_path, "--port", "0", preexec_fn=heed) as (process, _):
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    def ignore() -> None:  # as nohup does
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started(tmp_path, "--port", "0", preexec_fn=ignore) as (process, _):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        process.terminate()
        assert process.wait(30) == 0


def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    # It is not the terminal that controls the process: its end is not told by a signal.
    with started(tmp_path, "--port", "0", stdin=theirs, start_new_session=True) as (process, _):
        os.close(theirs)
        time.sleep(1.5)
        assert process.poll() is None
        os.close(ours)
        assert process.wait(30) == 0


def test_a_port_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started(tmp_path, "--port", str(port)) as (_, lines):
            assert lines[0] == f"Port {port} is taken.\n"
            said = int(lines[1].split("http://127.0.0.1:")[1].split("/")[0])
            assert said > port
            assert Board(said).ask("/api/table").json == []


def test_it_says_so_where_other_machines_can_reach_it(tmp_path: Path) -> None:
    with started(tmp_path, "--port", "0", "--host", "0.0.0.0") as (process, lines):
        assert process.stdout is not None
        assert "http://0.0.0.0:" in lines[0]
        assert "whoever reaches this address can look at all runs there, and stop them" in process.stdout.readline()


def test_an_address_that_is_none_is_refused(poise: Callable[..., Any], tmp_path: Path) -> None:
    refused = poise("board", "--host", "no.such.host.invalid", code=2).stderr
    assert "--host no.such.host.invalid is no address of this machine" in refused


def test_without_its_packages_it_says_what_to_install(
    poise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "poise.board.app")
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    refused = poise("board", code=2).stderr
    assert "the board needs the 'starlette" in refused
    assert "pip install 'poise[board]'" in refused
