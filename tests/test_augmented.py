"""Training on augmented images: what D sees, in every execution, and how strong it is."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poise.augment import AUGMENTS, Adaptive, Augmented
from poise.balance import Simultaneous
from poise.config import build
from poise.data import load
from poise.errors import ConfigError
from poise.losses import LOSSES, lsgan
from poise.penalties import PENALTIES, Weighted
from poise.recipes import resolve
from poise.schedules import Linear
from poise.trainer import Trainer, make_fabric
from poise.trainer.compiled import Compiled

SHAPE = (3, 8, 8)


def darker(images: Tensor, p: Tensor | float) -> Tensor:
    """Tells how strong it was told to be."""
    return images - 10 * p


class Judge(nn.Module):
    """Notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 1)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.seen.append(x.detach())
        return self.linear(x.flatten(1))


def make(augment: Augmented | None, **options: Any) -> Trainer:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 192), nn.Tanh(), nn.Unflatten(1, SHAPE))
    sgd = partial(torch.optim.SGD, lr=0.01)
    given = {"z_dim": 4, "fabric": make_fabric("cpu"), "g_optimizer": sgd, "d_optimizer": sgd} | options
    return Trainer(generator, Judge(), augment=augment, **given)


def reals(n: int = 8) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(5)) - 0.5


@pytest.mark.parametrize("options", [{}, {"balance": Simultaneous()}])
def test_d_sees_reals_and_fakes_augmented_whoever_moves(options: dict[str, Any]) -> None:
    trainer = make(Augmented(darker, 0.5), **options)
    trainer.discriminator.seen.clear()
    trainer.step(reals())
    assert all(seen.min() >= -6 and seen.max() <= -4 for seen in trainer.discriminator.seen)
    assert float(trainer.signals["augment_p"]) == 0.5
    assert trainer.sample(4).abs().max() <= 1


def test_penalties_look_through_augmentation() -> None:
    trainer = make(
        Augmented(darker, 0.5),
        penalties={name: Weighted(PENALTIES[name], 0.1) for name in ("r1", "wgan_gp", "lecam", "bcr")},
    )
    trainer.discriminator.seen.clear()
    trainer.step(reals())
    assert all(seen.max() <= -3 for seen in trainer.discriminator.seen)


def test_strength_may_be_scheduled() -> None:
    trainer = make(Augmented(darker, Linear(0.0, 1.0, end=0.016)))
    strengths = [float(trainer.step(reals())["augment_p"]) for _ in range(4)]
    assert strengths == [0.0, 0.5, 1.0, 1.0]


def test_strength_that_adapts() -> None:
    """D of these logits takes every real image for real, and p grows by images / (1000 kimg) a step."""
    trainer = make(Augmented(AUGMENTS["flip"](), 0.25, Adaptive(target=0.6, kimg=0.08)))
    with torch.no_grad():
        trainer.discriminator.linear.bias.fill_(100.0)
    strengths = [float(trainer.step(reals())["augment_p"]) for _ in range(3)]
    assert strengths == pytest.approx([0.25, 0.35, 0.45])
    assert float(trainer.signals["d_sign"]) == 1.0


def test_strength_adapts_by_differences_where_the_loss_sees_no_more() -> None:
    """All logits are 100, so that D tells nothing apart, and p falls: with vanilla it would rise."""
    trainer = make(Augmented(AUGMENTS["flip"](), 0.25, Adaptive(kimg=0.08)), loss=LOSSES["relativistic"])
    with torch.no_grad():
        trainer.discriminator.linear.weight.zero_()
        trainer.discriminator.linear.bias.fill_(100.0)
    trainer.step(reals())
    assert float(trainer.signals["d_sign"]) == 0.0
    assert float(trainer.step(reals())["augment_p"]) == pytest.approx(0.15)


def test_strength_adapts_alike_where_reals_are_pushed_down() -> None:
    trainer = make(Augmented(AUGMENTS["flip"](), 0.25, Adaptive(kimg=0.08)), loss=lsgan(a=1.0, b=-1.0))
    with torch.no_grad():
        trainer.discriminator.linear.bias.fill_(-100.0)
    trainer.step(reals())
    assert float(trainer.signals["d_sign"]) == 1.0


def test_strength_goes_on_where_it_was_saved() -> None:
    augment = Augmented(AUGMENTS["diffaugment"](), 0.5, Adaptive(kimg=0.05))
    straight, first, second = make(augment), make(augment), make(augment)
    for _ in range(4):
        straight.step(reals())
    for _ in range(2):
        first.step(reals())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        second.step(reals())
    assert float(straight.signals["augment_p"]) == float(second.signals["augment_p"])
    for left, right in zip(straight.generator.parameters(), second.generator.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("name", AUGMENTS)
def test_compiled_augmentation_is_that_of_eager_execution(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.trainer.trainer.Compiled", partial(Compiled, backend="aot_eager"))
    augment = Augmented(AUGMENTS[name](), 0.5, Adaptive(kimg=0.05))
    penalties = {"r1": Weighted(PENALTIES["r1"], 0.1)}
    eager, compiled = (make(augment, penalties=penalties, execution=it) for it in ("eager", "compile"))
    for _ in range(3):
        numbers, others = eager.step(reals()), compiled.step(reals())
    for key, value in numbers.items():
        torch.testing.assert_close(others[key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (AUGMENTS["flip"](), r"augment is a \w+; give Augmented\(AUGMENTS\['diffaugment'\]\(\)\)"),
        (Augmented(darker, 1.5), "augment.p is 1.5; it is a share of the samples, from 0 to 1"),
        (Augmented(darker, Linear(0.0, 2.0, end=1.0)), "augment.p is scheduled .*; it is a share of the samples"),
    ],
)
def test_wrong_augmentation(augment: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(augment)


@pytest.mark.parametrize(
    ("setting", "p", "adapts"),
    [
        ("augment=diffaugment", 1.0, False),
        ("augment=ada", 0.0, True),
        ("augment={class: ada, p: 0.3}", 0.3, False),
        ("augment={class: flip, p: 0.1, adaptive: {target: 0.5}}", 0.1, True),
    ],
)
def test_augmentation_is_a_setting(setting: str, p: float, adapts: bool) -> None:
    digits = load("digits")
    trainer = build(resolve(digits, None, {"steps": 1}, [setting]), digits.shape, make_fabric("cpu"))
    assert trainer.augment is not None
    assert (trainer.augment.p, trainer.augment.adaptive is not None) == (p, adapts)
    trainer.fit(digits, steps=2, batch=16)
    assert trainer.read()["augment_p"] == pytest.approx(p, abs=1e-3)


def test_augmentation_of_vectors_and_of_names_that_are_none() -> None:
    ring, digits = load("ring8"), load("digits")
    with pytest.raises(ConfigError, match="augment is for images, and the data is vectors: leave it out"):
        build(resolve(ring, None, {"steps": 1}, ["augment=diffaugment"]), ring.shape, make_fabric("cpu"))
    with pytest.raises(
        ConfigError, match=r"augment: there is no augmentation 'difaugment' \(did you mean 'diffaugment"
    ):
        build(resolve(digits, None, {"steps": 1}, ["augment=difaugment"]), digits.shape, make_fabric("cpu"))
