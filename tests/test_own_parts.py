"""Parts of one's own, imported by a recipe: only from packages that are trusted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from poise.config import build, build_hooks, dump, override, parse
from poise.errors import ConfigError
from poise.runs import Run
from poise.trainer import Hook, Trainer, make_fabric

PARTS = """
import torch
from torch import nn
from poise.balance import Alternating
from poise.losses import AdversarialLoss, hinge
from poise.penalties import GradientPenalty, Scene
from poise.trainer import Hook

class Generator(nn.Module):
    def __init__(self, z_dim: int, shape: tuple[int, ...], width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(z_dim, width), nn.ReLU(), nn.Linear(width, shape[0]))

    def forward(self, z):
        return self.layers(z)

def discriminator(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))

ready_made = nn.Linear(2, 1)
my_loss = hinge()

def scaled_hinge(scale: float = 1.0) -> AdversarialLoss:
    base = hinge()
    return AdversarialLoss(lambda a, b: scale * base.d(a, b), lambda a, b: scale * base.g(a, b))

def small_samples(scene: Scene) -> torch.Tensor:
    return scene.fake.square().sum(1)

def centered(target: float = 0.0) -> GradientPenalty:
    return GradientPenalty(at=lambda real, fake: real, of=lambda g: (g.norm(dim=1) - target).square())

def broken(scale: float = 1.0) -> AdversarialLoss:
    return {}["scale"]

class Small:
    def __call__(self, scene: Scene) -> torch.Tensor:
        return scene.fake.square().sum(1)

small = Small()

class Slow(Alternating):
    def __init__(self, patience: int = 2) -> None:
        super().__init__(d_steps=patience)

class Counter(Hook):
    seen: list[int] = []
    def after_step(self, trainer) -> None:
        self.seen.append(trainer.steps)

NUMBER = 3
raise_later = lambda: 1 / 0
"""

MINIMAL: dict[str, Any] = {"data": "ring8", "steps": 3, "z_dim": 4, "generator": "mlp", "discriminator": "mlp"}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "parts.py").write_text(PARTS)
    (tmp_path / "mine" / "torn.py").write_text("x = 1\ndef (\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def trainer(*assignments: str, trust: tuple[str, ...] = ("mine",)) -> Trainer:
    return build(parse(override(MINIMAL, assignments)), (2,), make_fabric("cpu"), trust)


@pytest.mark.usefixtures("parts")
def test_every_kind_of_part() -> None:
    built = trainer(
        "generator={import: mine.parts:Generator, width: 5}",
        "discriminator={import: mine.parts:discriminator}",
        "loss={import: mine.parts:scaled_hinge, scale: 3}",
        "penalties.centered={import: mine.parts:centered, target: 1, weight: 2}",
        "penalties.small={import: mine.parts:small_samples, weight: 0.5, to: G}",
        "penalties.called={import: mine.parts:Small, weight: 0.5, to: G}",
        "penalties.instance={import: mine.parts:small, weight: 0.5, to: G}",
        "balance={import: mine.parts:Slow, patience: 3}",
        "g_optimizer={import: torch.optim:Adagrad, lr: 0.1}",
        trust=("mine", "torch"),
    )
    numbers = built.step(torch.randn(16, 2))
    assert built.updates == {"D": 3, "G": 1}
    assert {"centered_loss", "small_loss", "called_loss", "instance_loss"} <= numbers.keys()
    assert built.generator.layers[0].weight.shape == (5, 4)
    assert built.state_dict()["g_optimizer"]["class"] == "Adagrad"


@pytest.mark.usefixtures("parts")
def test_values_are_taken_as_they_are() -> None:
    built = trainer("loss={import: mine.parts:my_loss}", "discriminator={import: mine.parts:ready_made}")
    assert isinstance(built.discriminator, nn.Linear)
    built.step(torch.randn(8, 2))


@pytest.mark.usefixtures("parts")
def test_hooks(tmp_path: Path) -> None:
    config = parse(MINIMAL | {"hooks": [{"import": "mine.parts:Counter"}]})
    (hook,) = build_hooks(config, Run(tmp_path / "r"), ("mine",))
    assert isinstance(hook, Hook)


@pytest.mark.usefixtures("parts")
def test_text_round_trip() -> None:
    config = parse(override(MINIMAL, ["loss={import: mine.parts:scaled_hinge, scale: 3}"]))
    assert config.loss.class_ == "import:mine.parts:scaled_hinge"
    import yaml

    assert parse(yaml.safe_load(dump(config))) == config
    # Another class or import brings its own options.
    assert parse(override(config.model_dump(by_alias=True), ["loss.class=hinge"])).loss.options == {}
    changed = override(config.model_dump(by_alias=True), ["loss.import=mine.parts:my_loss"])
    assert parse(changed).loss.class_ == "import:mine.parts:my_loss"


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("assignment", "trust", "words"),
    [
        (
            "loss={import: mine.parts:my_loss}",
            (),
            "loss.import: 'mine.parts:my_loss' is code that would be run; if you ",
        ),
        ("loss={import: mine.parts:my_loss}", ("min", "mine.part"), "trust it, give --trust mine"),
        ("loss={import: mine.parts}", ("mine",), "loss.import is 'mine.parts'; write it as package.module:Name"),
        ("loss={import: mine.prts:x}", ("mine",), "loss.import: mine.prts cannot be imported: No module named"),
        ("loss={import: mine.parts:my_los}", ("mine",), r"mine.parts has no 'my_los' \(did you mean 'my_loss'\?\)"),
        ("loss={import: mine.parts:my_loss, a: 1}", ("mine",), "loss: import:mine.parts:my_loss has no option 'a'"),
        ("loss={import: mine.parts:NUMBER}", ("mine",), "loss: mine.parts:NUMBER is a int, not a function or class"),
        ("loss={import: mine.parts:Slow}", ("mine",), "loss: mine.parts:Slow made a Slow, not a AdversarialLoss"),
        (
            "loss={import: mine.parts:scaled_hinge, scale: x}",
            ("mine",),
            "loss.scale is 'x': input should be a number, not text",
        ),
        ("loss={class: hinge, import: mine.parts:my_loss}", ("mine",), "give class or import, not both"),
        ("loss={import: mine.parts:broken}", ("mine",), "loss: mine.parts:broken raised KeyError: 'scale'"),
        (
            "loss={import: mine.torn:x}",
            ("mine",),
            r"mine.torn cannot be imported: SyntaxError: .* \(torn.py, line 2\)",
        ),
    ],
)
def test_refusals(assignment: str, trust: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trainer(assignment, trust=trust)


def test_the_command_line_trusts_what_it_is_told(parts: Path, poise: Any) -> None:
    recipe = parts / "mine.yaml"
    recipe.write_text("generator: {import: mine.parts:Generator}\nhooks: [{import: mine.parts:Counter}]\n")
    arguments = ["train", "ring8", "--recipe", recipe, "--steps", "2", "--run", "one"]
    assert "give --trust mine" in poise(*arguments, code=2).stderr
    assert not (parts / "one").exists()
    assert "mine.parts" not in sys.modules
    poise(*arguments, "--trust", "mine")
    assert sys.modules["mine.parts"].Counter.seen == [1, 2]
    assert "give --trust mine" in poise("sample", "one", "-n", "4", "--out", "out", code=2).stderr
    poise("sample", "one", "-n", "4", "--out", "out", "--trust", "mine")
    assert (parts / "out" / "samples.npy").exists()
