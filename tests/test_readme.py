"""The code of the README and of the docs runs, and their commands are those that exist."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.main

from poise.cli import app
from poise.config import build
from poise.data import load
from poise.diagnosis.detectors import DETECTORS
from poise.recipes import resolve
from poise.trainer import make_fabric
from poise.tuning import Space, find_plan

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCALE, PAGES, TUNING, WATCH = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("scale", "pages", "tuning", "watch")
)
OWN_PARTS = (ROOT / "docs" / "own-parts.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_python_api_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    statements = [line for line in code.splitlines() if line and not line.startswith((" ", ")", "from", "import"))]
    assert len(statements) <= 10
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_the_recipe_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POISE_CACHE", str(tmp_path / "cache"))
    (recipe,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(recipe)
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), dtype=np.uint8))
    images = load(str(tmp_path / "images.npy"))
    trainer = build(resolve(images, str(tmp_path / "mine.yaml")), images.shape, make_fabric("cpu"))
    trainer.fit(images, steps=2, batch=8)
    assert trainer.sample(2).shape == (2, 3, 16, 16)


def test_own_parts_run(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile("\n".join(blocks("python", OWN_PARTS)), "own-parts.md", "exec"), {"__name__": "own_parts"})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["10", "20"]


def test_the_space_of_the_docs_can_be_searched(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    _, space, plan = blocks("yaml", TUNING)
    (tmp_path / "space.yaml").write_text(space)
    digits = load("digits")
    Space.read(tmp_path / "space.yaml").require_fit(
        lambda further: resolve(digits, "vanilla", {}, further), lambda it: build(it, digits.shape, make_fabric("cpu"))
    )
    assert plan == find_plan("first-four").read_text()


def test_every_finding_is_in_the_docs() -> None:
    table = [line.split("`")[1] for line in WATCH.splitlines() if line.startswith("| `")]
    assert table == list(DETECTORS)


def test_every_command_parses() -> None:
    program = typer.main.get_command(app)
    shells = [
        *blocks("sh"),
        *(block for text in (OWN_PARTS, SCALE, PAGES, TUNING, WATCH) for block in blocks("sh", text)),
    ]
    lines = [line for block in shells for line in block.splitlines() if line.startswith("poise ")]
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
