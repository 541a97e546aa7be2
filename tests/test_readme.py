"""The README's code runs, and its commands are those that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from poise.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_api_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    statements = [line for line in code.splitlines() if line and not line.startswith((" ", ")", "from", "import"))]
    assert len(statements) <= 10
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_every_command_parses() -> None:
    program = typer.main.get_command(app)
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("poise ")]
    assert len(lines) >= 10
    for line in lines:
        verb, *arguments = shlex.split(line, comments=True)[1:]
        program.commands[verb].make_context(verb, arguments)


def test_the_first_page_has_the_two_commands() -> None:
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e"
    assert f"{install} . && .venv/bin/poise train digits\n" in README
    assert f"{install} '.[test]' && .venv/bin/pytest\n" in README


def test_the_pictures_are_there() -> None:
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (Path(__file__).parents[1] / picture).exists()
