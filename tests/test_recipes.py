"""Every recipe trains on images and on vectors, and has the settings of its source."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from poise.balance import BALANCES
from poise.config import Config, build
from poise.constraints import CONSTRAINTS
from poise.data import load
from poise.errors import ConfigError
from poise.losses import LOSSES
from poise.models import INITIALIZERS, Growing
from poise.optimizers import WRAPPERS
from poise.penalties import PENALTIES
from poise.recipes import RECIPES, chosen_by_auto, resolve
from poise.trainer import Trainer, make_fabric

KINDS = ["digits", "ring8"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def config(name: str, kind: str = "digits", *assignments: str) -> Config:
    return resolve(load(kind), name, {}, assignments)


def trainer(name: str, kind: str = "digits", *assignments: str) -> Trainer:
    """Executed eagerly, as a long training on vectors would not be: compiling takes longer than a test."""
    return build(config(name, kind, "execution=eager", *assignments), load(kind).shape, make_fabric("cpu"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains(name: str, kind: str) -> None:
    built = trainer(name, kind, "batch=16")
    before = [weight.clone() for weight in built.generator.parameters()]
    built.fit(load(kind), steps=4, batch=16)
    assert all(math.isfinite(value) for value in built.read().values())
    if name != "balanced":  # which may well move D alone
        assert any(not torch.equal(a, b) for a, b in zip(before, built.generator.parameters(), strict=True))
    assert built.sample(3).shape == (3, *load(kind).shape)


def test_wgan() -> None:
    built = trainer("wgan")
    built.step(torch.rand(8, 1, 8, 8))
    assert built.updates == {"D": 5, "G": 1}
    assert max(weight.abs().max().item() for weight in built.discriminator.parameters()) <= 0.01
    group = built.state_dict()["d_optimizer"]
    assert (group["class"], group["optimizer"]["param_groups"][0]["lr"]) == ("RMSprop", 5e-5)
    assert config("wgan", "digits", "constraints.clip.limit=0.1").constraints["clip"].options == {"limit": 0.1}


def test_wgan_gp() -> None:
    one = config("wgan-gp")
    assert (one.penalties["wgan_gp"].weight, one.balance.options) == (10, {"d_steps": 5})
    assert one.d_optimizer.options == {"lr": 1e-4, "betas": (0.0, 0.9)}


def test_ttur_has_two_time_scales_and_spectral_norms() -> None:
    one = config("ttur")
    assert (one.g_optimizer.lr, one.d_optimizer.lr) == (1e-4, 4e-4)
    built = trainer("ttur")
    for network in (built.generator, built.discriminator):
        assert any("parametrizations" in name for name, _ in network.named_modules())


@pytest.mark.parametrize("kind", KINDS)
def test_feature_matching_looks_at_the_last_hidden_layer(kind: str) -> None:
    built = trainer("feature-matching", kind, "batch=16")
    (layer,) = built.penalties["feature_matching"].penalty.layers  # type: ignore[attr-defined]
    assert isinstance(built.discriminator.get_submodule(layer), nn.LeakyReLU)
    numbers = built.step(next(iter(torch.rand(1, 16, *load(kind).shape))))
    assert numbers["feature_matching_loss"] > 0


def test_progressive_reaches_the_datas_size_in_half_of_the_run() -> None:
    built = trainer("progressive")
    assert isinstance(built.generator, Growing)
    assert built.generator.grown_at_kimg < (config("progressive").kimg or 0)
    with pytest.raises(ConfigError, match=r"generator.grow_kimg: the network has its full size after .* kimg"):
        trainer("progressive", "digits", "kimg=10")


def test_any_value_can_be_set() -> None:
    one = config(
        "wgan",
        "digits",
        "penalties.lecam.weight=0.1",
        "loss=relativistic_average",
        "loss.form=hinge",
        "balance={class: accumulate, n: 2, combine: agree}",
        "g_optimizer.lr={class: cosine, from: 1e-3, to: 0, end: 50}",
        "g_optimizer.wrap=lookahead",
        "top_k={class: linear, from: 1, to: 0.5, end: 10}",
        "ema={half_life_kimg: {class: step, values: [0, 5], at: [1]}}",
        "generator=['linear 2*2*32', 'relu', 'upsample', 'conv 16', 'relu', 'upsample', 'conv 1', 'tanh']",
    )
    built = build(one, (1, 8, 8), make_fabric("cpu"))
    built.fit(load("digits"), steps=3, batch=16)
    assert built.updates == {"D": 6, "G": 3}


def test_a_warm_up_from_a_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recipe: vanilla\nz_dim: 16\nbatch: 16\n"
        "warmup:\n  steps: 2\n  optimizer: {lr: 1e-3}\n"
        "  encoder: ['conv 8 stride=2', relu, flatten, 'linear 16', tanh]\n"
    )
    built = build(resolve(load("digits"), str(path)), (1, 8, 8), make_fabric("cpu"))
    built.fit(load("digits"), steps=3, batch=16)
    assert (built.updates, built.nimg) == ({"D": 1, "G": 1}, 16)


# Assignments for every entry of every table; a few need a word more.
MORE = {
    "loss=realness": ["discriminator.outputs=10"],
    "penalties.feature_matching.weight=1": ["penalties.feature_matching.layers=['1']"],
}
EVERYTHING = [
    *(f"loss={name}" for name in LOSSES),
    *(f"penalties.{name}.weight=1" for name in PENALTIES),
    "penalties={p: {class: gradient_norm, weight: 1, to: G}}",
    *(f"constraints={{{name}: {{to: {player}}}}}" for name in CONSTRAINTS for player in ("D", "G")),
    *(f"balance={name}" for name in BALANCES),
    *(f"{player}_optimizer.wrap={name}" for name in WRAPPERS for player in ("d", "g")),
    *(f"generator.initializer={name}" for name in INITIALIZERS),
    "g_optimizer.lr={class: constant, value: 1e-3}",
    "g_optimizer.lr={class: linear, from: 1e-3, to: 0, end: 1}",
    "d_optimizer.betas=[0, {class: cosine, from: 0.9, to: 0.99, end: 1}]",
    "penalties={r1: {weight: {class: step, values: [1, 0], at: [0.01]}}}",
]


@pytest.mark.filterwarnings("ignore:proportional control reads")  # of a critic that is no autoencoder
@pytest.mark.parametrize("assignment", EVERYTHING)
def test_everything_can_be_set(assignment: str) -> None:
    small = ["generator.width=8", "discriminator.width=8", "batch=8", *MORE.get(assignment, [])]
    built = trainer("vanilla", "digits", assignment, *small)
    built.fit(load("digits"), steps=2, batch=8)
    assert all(math.isfinite(value) for value in built.read().values())


# Defaults.


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (np.zeros((16, 2), np.float32) + np.arange(16, dtype=np.float32)[:, None], "points"),
        (np.zeros((8, 16, 16, 1), np.uint8), "thumbnails"),
        (np.zeros((8, 32, 32, 3), np.uint8), "r3gan"),
    ],
)
def test_the_default_fits_the_data(data: Any, name: str) -> None:
    assert resolve(load(data)).recipe == name


def test_points_has_a_generator_with_flat_parts_and_the_faster_rate() -> None:
    one = config("points", "ring8")
    assert (one.generator.options, one.discriminator.options) == ({"slope": 0.0}, {})
    rates = [(it.lr.options["from"], it.lr.options["to"]) for it in (one.g_optimizer, one.d_optimizer)]
    assert rates == [(3e-3, 3e-5), (1e-3, 1e-5)]
    assert {it.weight.options["to"] for it in one.penalties.values()} == {3e-4}
    assert (one.ema.half_life_kimg, one.kimg) == (200, 7680)
    assert config("points", "digits").generator.class_ == "dcgan"


def test_thumbnails_is_relativistic_with_rates_that_fall() -> None:
    one, other = config("thumbnails", "digits"), config("relativistic", "digits")
    assert one.g_optimizer == one.d_optimizer
    assert (one.g_optimizer.lr.options["from"], one.g_optimizer.lr.options["to"]) == (2e-3, 2e-5)
    ours = {"recipe", "g_optimizer", "d_optimizer"}
    assert one.model_dump(exclude=ours) == other.model_dump(exclude=ours)
    assert config("thumbnails", "ring8").model_dump(exclude={"recipe"}) == config("points", "ring8").model_dump(
        exclude={"recipe"}
    )


@pytest.mark.parametrize(
    ("has_gpu", "size", "rates"), [(False, "nano", (2e-3, 2e-5, None)), (True, "small", (4e-4, 1e-4, 75.0))]
)
def test_r3gan_has_rates_for_its_size(
    has_gpu: bool, size: str, rates: tuple[float, float, float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    one = resolve(load(images(8, 32)), "r3gan")
    assert one.generator.options == one.discriminator.options == {"size": size}
    assert one.g_optimizer == one.d_optimizer
    lr = one.g_optimizer.lr.options
    assert (lr["from"], lr["to"], lr.get("end")) == rates


def test_r3gan_trains_at_32() -> None:
    images = load(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    built = build(resolve(images, "r3gan", {"batch": 4}, ["generator.size=nano"]), images.shape, make_fabric("cpu"))
    built.fit(images, steps=2, batch=4)
    assert all(math.isfinite(value) for value in built.read().values())


def test_schedules_end_with_the_run_unless_they_say_when() -> None:
    def rate(built: Trainer, kimg: float) -> float:
        built.nimg = int(1000 * kimg)
        built._begin_step()
        return float(next(iter(built._moves.optimizers)).param_groups[0]["lr"])

    short, long = (trainer("points", "ring8", f"kimg={kimg}") for kimg in (1.0, 10.0))
    assert rate(short, 0.5) == pytest.approx(rate(long, 5.0)) == pytest.approx((1e-3 + 1e-5) / 2)
    assert rate(short, 1.0) == pytest.approx(1e-5)
    assert rate(trainer("points", "ring8", "steps=1000", "kimg=1000"), 128.0) == pytest.approx((1e-3 + 1e-5) / 2)
    stated = trainer("vanilla", "ring8", "kimg=9", "g_optimizer.lr={class: linear, from: 1.0, to: 0.0, end: 2}")
    stated.nimg = 1000
    stated._begin_step()
    assert float(stated._moves["G"].player.optimizer.param_groups[0]["lr"]) == 0.5


# The recipe that looks at the data.


def images(count: int, side: int) -> np.ndarray[Any, Any]:
    """So many that take no memory: one, again and again."""
    one = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    return np.broadcast_to(one, (count, side, side, 3))


def auto(data: Any, size: int | None = None) -> Config:
    return resolve(load(data, size=size), "auto")


@pytest.mark.parametrize(
    ("count", "side", "network", "augment", "batch", "z_dim"),
    [
        (1_000, 16, "dcgan", None, 64, 64),
        (40, 16, "dcgan", None, 4, 64),
        (1_000, 32, "r3gan", "ada", 64, 64),
        (6_000, 32, "r3gan", "ada", 64, 64),
        (50_000, 32, "r3gan", None, 64, 128),
        (200, 128, "r3gan", "ada", 16, 128),
    ],
)
def test_auto_follows_the_images(
    count: int, side: int, network: str, augment: str | None, batch: int, z_dim: int
) -> None:
    one = auto(images(count, side), side)
    assert (one.generator.class_, one.discriminator.class_) == (network, network)
    assert (one.augment.class_ if one.augment else None, one.batch, one.z_dim) == (augment, batch, z_dim)
    assert one.recipe == "auto"


def test_auto_strengthens_augmentation_by_verdicts_where_images_are_few() -> None:
    few, more = auto(images(1_000, 32)).augment, auto(images(6_000, 32)).augment
    assert few is not None
    assert few.adaptive is not None
    assert more is not None
    assert more.adaptive is None


@pytest.mark.parametrize(
    ("counts", "conditional"), [((100, 100), True), ((120,) * 5, True), ((300, 99), False), ((300,), False)]
)
def test_auto_lets_networks_know_classes_that_have_enough_images(
    tmp_path: Path, counts: tuple[int, ...], conditional: bool
) -> None:
    image = Image.new("L", (8, 8))
    for label, count in enumerate(counts):
        (tmp_path / f"class-{label}").mkdir()
        for number in range(count):
            image.putpixel((0, 0), number % 256)
            image.save(tmp_path / f"class-{label}" / f"{number}.png")
    for one in (auto(str(tmp_path)), RECIPES["auto"](load(str(tmp_path)))):
        assert (one.conditional, len(one.classes)) == (conditional, len(counts) if conditional else 0)


def test_auto_leaves_points_without_classes() -> None:
    assert not auto("ring8").conditional


def test_auto_keeps_what_it_does_not_choose() -> None:
    one, base = auto("ring8"), config("points", "ring8")
    assert one.generator.options == {**base.generator.options, "width": 128}
    assert (one.g_optimizer, one.d_optimizer, one.penalties, one.ema) == (
        base.g_optimizer,
        base.d_optimizer,
        base.penalties,
        base.ema,
    )


def test_auto_follows_the_vectors() -> None:
    rng = np.random.default_rng(0)
    wide = auto(rng.normal(size=(6_000, 20)).astype(np.float32))
    assert (wide.generator.options["width"], wide.z_dim, wide.batch) == (256, 20, 256)
    few = auto(rng.normal(size=(100, 2)).astype(np.float32))
    assert (few.generator.options["width"], few.z_dim, few.batch) == (128, 8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_says_why(kind: str) -> None:
    data = load(kind)
    one = auto(kind)
    choices = {it.setting: it for it in chosen_by_auto(data)}
    assert {"batch", "z_dim", "generator", "discriminator", "kimg", "evaluate", "conditional"} <= set(choices)
    for setting, choice in choices.items():
        assert getattr(one, setting) == choice.value
        assert str(choice).startswith(f"{setting} = ")
        assert len(choice.why) > 10
