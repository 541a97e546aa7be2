"""Class-conditional training: labels on their way from the data to the networks, and back to samples."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from poise.balance import Accumulate, Alternating, Balanced, Simultaneous
from poise.data import Batches, Data, load
from poise.errors import ConfigError, DataError
from poise.losses import LOSSES
from poise.penalties import PENALTIES, Scene, Weighted, feature_matching
from poise.session.pictures import draw
from poise.trainer import Trainer, make_fabric

CLASSES = 3


class Given(nn.Module):
    """Calls a network with labels beside its input; notes which came."""

    classes = CLASSES

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 4)
        self.network = nn.Sequential(nn.Linear(inputs + 4, 16), nn.Tanh(), nn.Linear(16, outputs))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        self.seen.append(labels)
        return self.network(torch.cat([x, self.embedding(labels)], 1))


def points(n: int = 60) -> tuple[Tensor, Tensor]:
    """Points that say their class."""
    labels = torch.arange(n) % CLASSES
    return torch.stack([labels.float(), torch.randn(n)], 1), labels


def make(**options: Any) -> Trainer:
    torch.manual_seed(0)
    given = {"z_dim": 4, "classes": CLASSES, "fabric": make_fabric("cpu")} | options
    return Trainer(Given(4, 2), Given(2, 1), **given)


# The data.


def test_batches_have_the_labels_of_their_samples() -> None:
    samples, labels = points()
    data = load(samples.numpy())
    labelled = Data(**{**vars(data), "labels": labels.numpy(), "classes": ("a", "b", "c")})
    plain, batches = Batches(labelled, 8, seed=1), Batches(labelled, 8, seed=1, labelled=True)
    for index in range(12):
        batch, its = batches.batch(index)
        assert torch.equal(batch, plain.batch(index))
        assert its.dtype == torch.int64
        assert np.allclose(labelled.restore(batch)[:, 0], its, atol=1e-4)


def test_batches_of_data_sets_have_the_labels_of_their_items() -> None:
    samples, labels = Batches(TensorDataset(*points()), 8, labelled=True).batch(0)
    assert torch.equal(samples[:, 0].long(), labels)


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="these samples have no labels, which class-conditional networks need"):
        Batches(torch.randn(8, 2), 4, labelled=True)
    with pytest.raises(DataError, match=r"item \d of the TensorDataset has no label; for networks that take classes"):
        Batches(TensorDataset(torch.randn(8, 2)), 4, labelled=True).batch(0)


# The trainer.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"balance": Simultaneous()},
        {"balance": Balanced()},
        {"balance": Alternating(2)},
        {"balance": Accumulate(2)},
        {"penalties": {"r1": Weighted(PENALTIES["r1"], 0.1), "r2": Weighted(PENALTIES["r2"], 0.1)}},
        {"penalties": {"wgan_gp": Weighted(PENALTIES["wgan_gp"], 0.1)}, "accumulate": 3},
        {"penalties": {"m": Weighted(feature_matching(layers=["network.0"]), 1.0)}, "loss": LOSSES["relativistic"]},
    ],
    ids=["plain", "simultaneous", "balanced", "two", "gathered", "joint", "parts", "features"],
)
def test_both_players_see_the_labels_of_the_reals(options: dict[str, Any]) -> None:
    trainer = make(**options)
    calls: list[tuple[Tensor, Tensor]] = []
    trainer.discriminator.register_forward_pre_hook(lambda module, given: calls.append(given))
    trainer.fit(TensorDataset(*points()), steps=6, batch=12)
    for samples, labels in calls:
        assert len(samples) == len(labels)
        reals = samples[:, 0] == samples[:, 0].round()  # fakes are no whole numbers
        assert torch.equal(samples[reals, 0].long(), labels[reals])
    assert all(len(labels) for labels in trainer.generator.seen)


def test_every_penalty_takes_labels() -> None:
    for name in sorted(set(PENALTIES) - {"feature_matching"}):
        trainer = make(penalties={name: Weighted(PENALTIES[name], 0.1)})
        assert all(value.isfinite() for value in trainer.step(points()).values()), name


def test_classes_are_learnt() -> None:
    """By the loss alone: what G makes of a class is where that class is."""
    trainer = make(
        loss=LOSSES["relativistic"],
        penalties={"r1": Weighted(PENALTIES["r1"], 0.1)},
        g_optimizer=lambda weights: torch.optim.Adam(weights, 3e-3, betas=(0.0, 0.9)),
        d_optimizer=lambda weights: torch.optim.Adam(weights, 3e-3, betas=(0.0, 0.9)),
    )
    trainer.fit(TensorDataset(*points(600)), steps=500, batch=60)
    for label in range(CLASSES):
        made = trainer.sample(200, labels=torch.full((200,), label))
        assert made[:, 0].mean().item() == pytest.approx(label, abs=0.2)


def test_training_with_labels_goes_on_bit_for_bit() -> None:
    options = {"balance": Accumulate(2)}
    straight, first, second = make(**options), make(**options), make(**options)
    data = TensorDataset(*points())
    straight.fit(data, steps=7, batch=12)
    first.fit(data, steps=4, batch=12)
    second.load_state_dict(first.state_dict())
    second.fit(data, steps=7, batch=12)
    for left, right in zip(straight.generator.parameters(), second.generator.parameters(), strict=True):
        assert torch.equal(left, right)


def test_moves_of_ones_own_loop() -> None:
    trainer = make()
    samples, labels = points(12)
    trainer.discriminator_step(samples, torch.randn(12, 4), labels)
    trainer.generator_step(torch.randn(12, 4))
    assert torch.equal(trainer.generator.seen[-1], labels)
    trainer.generator_step(torch.randn(5, 4), labels=torch.ones(5, dtype=torch.int64))
    assert torch.equal(trainer.generator.seen[-1], torch.ones(5, dtype=torch.int64))


def test_samples_are_of_all_classes_in_turn_or_of_those_asked_for() -> None:
    trainer = make()
    trainer.average.seen.clear()
    trainer.sample(5)
    trainer.sample(3, labels=[2, 2, 0])
    assert [it.tolist() for it in trainer.average.seen] == [[0, 1, 2, 0, 1], [2, 2, 0]]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.randn(6, 2), r"the networks take 3 classes, and a batch is samples alone: give \(samples, labels\)"),
        ((torch.randn(6, 2), torch.zeros(5, dtype=torch.int64)), "a batch has 6 samples and 5 labels"),
        ((torch.randn(6, 2), torch.full((6,), 3)), "labels go from 3 to 3, and the networks take 3 classes, from 0"),
        ((torch.randn(6, 2), torch.rand(6)), "labels are torch.float32 .*; they must be whole numbers"),
    ],
)
def test_wrong_labels(batch: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make().step(batch)


def test_labels_and_latents_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="there are no labels and 4 latents: give as many labels"):
        make().generator_step(torch.randn(4, 4))


def test_networks_of_another_number_of_classes() -> None:
    with pytest.raises(ConfigError, match="the generator takes 3 classes, and the trainer was told of 4"):
        make(classes=4)
    with pytest.raises(ConfigError, match="classes is -1; it must be at least 0"):
        make(classes=-1)


def test_a_scene_in_parts_has_the_parts_labels() -> None:
    samples, labels = points(10)
    scene = Scene(Given(2, 1), real=samples, generator=Given(4, 2), z=torch.randn(10, 4), labels=labels)
    assert [part.labels.tolist() for part in scene.parts(3)] == [it.tolist() for it in labels.tensor_split(3)]


def test_a_scene_on_copies_is_of_the_same_deal_in_other_memory() -> None:
    samples, labels = points(10)
    scene = Scene(
        Given(2, 1), real=samples, generator=Given(4, 2), z=torch.randn(10, 4), labels=labels, strength=torch.ones(())
    )
    for copy, given in zip(scene.on_copies().deal, scene.deal, strict=True):
        assert torch.equal(copy, given)
        assert copy.data_ptr() != given.data_ptr()


# From the command line.


def test_a_conditional_run_from_training_to_samples_of_a_class(poise: Any) -> None:
    tiny = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--batch", "16"]
    few = ["--set", "evaluate.samples=200", "--set", "evaluate.features=raw"]
    trained = poise(
        "train", "digits", "--recipe", "vanilla", "--conditional", "--steps", "12", "--run", "r", *tiny, *few
    )
    assert "10 classes\n" in trained.stdout
    shown = json.loads(poise("show", "r", "--json").stdout)
    assert shown["config"]["classes"] == [str(digit) for digit in range(10)]
    said = poise("sample", "r", "--class", "7", "-n", "4").stdout
    assert "seed 0, class 7: a picture of 4 samples in " in said
    poise("sample", "r", "--walk", "w.gif", "--class", "3")
    assert "has no class 'seven'" in poise("sample", "r", "--class", "seven", code=2).stderr
    row = json.loads(poise("evaluate", "r", "--metrics", "kid", "--json").stdout)
    assert list(row["kid_by_class"]) == shown["config"]["classes"]


@pytest.mark.parametrize(
    ("n", "classes", "columns"),
    [(64, 10, 10), (64, 3, 9), (64, 16, 16), (64, 17, 8), (25, 10, 10), (24, 10, 5), (64, 1, 8), (64, 0, 8)],
)
def test_a_column_of_a_grid_is_of_one_class(n: int, classes: int, columns: int) -> None:
    labels = (np.arange(n) % max(classes, 1)).astype(np.uint8)
    images = np.zeros((n, 64, 64, 1), np.uint8) + labels[:, None, None, None]
    tiles = np.asarray(draw(None, images, "", classes))[::66, ::66]
    assert tiles.shape[1] == columns
    assert columns % max(classes, 1) or np.array_equal(tiles[0], tiles[1])


def test_pictures_of_a_run_that_knows_classes_have_them_in_columns(poise: Any) -> None:
    tiny = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--set", "evaluate.features=raw"]
    train = ("train", "digits", "--recipe", "vanilla", "--conditional", "--steps", "1", "--batch", "16", "--run", "r")
    poise(*train, *tiny, "--set", "evaluate.samples=200")
    poise("sample", "r", "-n", "36", "--grid", "all.png")
    poise("sample", "r", "-n", "36", "--class", "1", "--grid", "one.png")
    wide = dict.fromkeys(["r/samples/00000001.png", "r/samples/real.png", "all.png"], 10 * 66 - 2)
    for name, width in (wide | {"one.png": 6 * 66 - 2}).items():
        with Image.open(name) as picture:
            assert picture.width == width, name


def test_classes_where_there_are_none(poise: Any) -> None:
    refused = poise("train", "ring8", "--conditional", "--set", "generator=began", code=2).stderr
    assert (
        "generator: classes is 8, and began takes no labels: leave classes (in a recipe: conditional) out, or take mlp"
        in refused
    )
    poise("train", "digits", "--recipe", "vanilla", "--steps", "2", "--batch", "8", "--run", "r")
    assert "run r knows no classes: leave --class out" in poise("sample", "r", "--class", "1", code=2).stderr
    np.save("images.npy", np.zeros((20, 8, 8, 3), np.uint8))
    assert (
        "conditional networks need classes, and images.npy has none"
        in poise("train", "images.npy", "--conditional", code=2).stderr
    )
