"""Spaces: what is drawn, when, what it means as settings; and how a wrong one is refused."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poise.config import Config, build, differences
from poise.data import load
from poise.errors import ConfigError
from poise.recipes import RECIPES, as_recipe, chosen_size, resolve
from poise.trainer import make_fabric

pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from poise.tuning import Choices, Entry, Range, Space, default_space


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def settings(further: Sequence[str], recipe: str = "vanilla", kind: str = "digits") -> Config:
    return resolve(load(kind), recipe, {}, further)


def check(space: Space, recipe: str = "vanilla", kind: str = "digits") -> None:
    fabric = make_fabric("cpu")
    space.require_fit(partial(settings, recipe=recipe, kind=kind), lambda it: build(it, load(kind).shape, fabric))


def lowest(name: str, distribution: Any) -> Any:
    """Draws the first choice, or the low end of a range."""
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low


TTUR = {
    "g_optimizer.lr": {"low": 1e-4, "high": 1e-3, "log": True},
    "d_optimizer.lr": {"low": 2.0, "high": 8.0, "times": "g_optimizer.lr"},
    "g_optimizer.betas.0": {"low": 0.25, "high": 0.9, "also": "d_optimizer.betas.0"},
    "batch": [16, 32],
    "z_dim": {"low": 2, "high": 8},
    "penalties": {"choices": {"r1": {"r1": {"weight": 1}}, "none": {}}},
    "penalties.r1.weight": {"low": 0.5, "high": 2.0, "when": {"penalties": "r1"}},
}


def test_what_is_drawn_becomes_settings() -> None:
    space = Space.of(TTUR)
    made = settings(space.assignments(space.draw(lowest)))
    assert (made.g_optimizer.lr, made.d_optimizer.lr) == (1e-4, 2e-4)
    assert (made.g_optimizer.betas, made.d_optimizer.betas) == ((0.25, 0.999), (0.25, 0.999))
    assert (made.batch, made.z_dim, made.penalties["r1"].weight) == (16, 2, 0.5)


def test_distributions_are_those_of_the_ranges() -> None:
    seen: dict[str, Any] = {}

    def suggest(name: str, distribution: Any) -> Any:
        seen[name] = distribution
        return lowest(name, distribution)

    Space.of(TTUR).draw(suggest)
    assert seen["g_optimizer.lr"] == FloatDistribution(1e-4, 1e-3, log=True)
    assert seen["d_optimizer.lr / g_optimizer.lr"] == FloatDistribution(2.0, 8.0)
    assert seen["batch"] == CategoricalDistribution((16, 32))
    assert seen["z_dim"] == IntDistribution(2, 8)


def test_a_condition_leaves_out_what_does_not_apply() -> None:
    space = Space.of(TTUR)
    drawn = space.draw(lambda name, it: "none" if name == "penalties" else lowest(name, it))
    assert "penalties.r1.weight" not in drawn
    assert settings(space.assignments(drawn)).penalties == {}


def test_drawn_numbers_have_three_digits_and_stay_in_range() -> None:
    assert Range(1e-4, 1e-3, log=True).value(0.000123456) == 0.000123
    assert Range(0.12345, 1.0).value(0.12345) == 0.12345
    assert Range(1, 1000).value(512) == 512


@pytest.mark.parametrize("kind", ["digits", "ring8"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_within_its_default_space(recipe: str, kind: str) -> None:
    data, here = load(kind), partial(settings, recipe=recipe, kind=kind)
    base = here([])
    space = default_space(base, data)
    drawn = space.drawn_for(base, here)
    assert drawn is not None
    assert not differences(here(space.assignments(drawn)), base)


@pytest.mark.parametrize(("recipe", "kind"), [("vanilla", "digits"), ("r3gan", "digits"), ("points", "ring8")])
def test_the_default_space_can_be_trained(recipe: str, kind: str) -> None:
    check(default_space(settings([], recipe, kind), load(kind)), recipe, kind)


def test_the_default_space_has_what_people_tune() -> None:
    space = default_space(settings([]), load("digits"))
    lines = "\n".join(map(str, space.entries))
    for part in (
        "g_optimizer.lr: 3e-05 to 0.002 (log)",
        "d_optimizer.lr / g_optimizer.lr: 0.5 to 8 (log)",
        "g_optimizer.betas.0: 0 to 0.95",
        "batch: 16, 32, 64, 128, 256",
        "z_dim: 64, 128, 256",
        "balance: 1 to 1, 2 to 1, 5 to 1",
        "loss: vanilla, hinge, relativistic, lsgan, wasserstein",
        "penalties: none, r1, r1+r2, wgan_gp",
        "penalties.wgan_gp.weight: 1 to 50 (log), when penalties is wgan_gp",
        "discriminator.norm: none, batch",
        "constraints: none, spectral_norm",
        "generator.initializer: own, normal, xavier, kaiming, orthogonal",
        "ema.half_life_kimg: 0.1 to 50 (log)",
    ):
        assert part in lines


def test_a_config_outside_of_a_space_is_not_drawn() -> None:
    space = Space.of({"g_optimizer.lr": {"low": 1e-6, "high": 1e-5}})
    assert space.drawn_for(settings([]), settings) is None


# Bad input.

LR = {"low": 1e-4, "high": 1e-3}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "my.yaml: it has no settings"),
        ({"batch": 64}, "my.yaml: batch: give a list of choices, or a mapping"),
        ({"batch": [64]}, "my.yaml: batch: a choice needs two values or more"),
        (
            {"lr": {"low": 1e-3, "high": 1e-4}},
            "my.yaml: lr: low is 0.001 and high is 0.0001, so .* upside down",
        ),
        ({"lr": {"low": 1e-3, "high": 1e-3}}, "low must be below high"),
        ({"lr": {"low": 0, "high": 1.0, "log": True}}, "a range by logarithm must be above 0"),
        ({"lr": {"low": "small", "high": 1.0}}, "low is 'small': give a finite number"),
        ({"lr": {"low": True, "high": 2}}, "low is True: give a finite number"),
        ({"lr": {"low": 0.0, "high": float("inf")}}, "high is inf: give a finite number"),
        ({"lr": {"low": 1e-3}}, "my.yaml: lr: high is missing"),
        ({"lr": {"log": True}}, "low and high are missing"),
        ({"lr": {**LR, "hihg": 1}}, r"there is no 'hihg' \(did you mean 'high'\?\)"),
        ({"lr": {**LR, "log": "yes"}}, "log is 'yes': give true or false"),
        ({"lr": {**LR, "choices": [1, 2]}}, "give choices, or low and high, not both"),
        ({"lr": {"choices": 3}}, "choices are a list, or a mapping"),
        ({"lr": {**LR, "when": "r1"}}, "when is a mapping"),
        ({"loss": ["a", "b"], "lr": {**LR, "when": {"los": "a"}}}, r"depends on 'los', .* \(did you mean 'loss'\?\)"),
        ({"lr": {**LR, "when": {"loss": "a"}}, "loss": ["a", "b"]}, "depends on 'loss', which is not above it"),
        ({"loss": ["hinge", "b"], "lr": {**LR, "when": {"loss": "hing"}}}, r"never hing \(did you mean 'hinge'\?\)"),
        ({"lr": LR, "d": {**LR, "when": {"lr": 1}}}, "depends on 'lr', which is a range; only choices"),
        ({"d": {**LR, "times": "lr"}}, "depends on 'lr', which is not above it"),
        ({"lr": [1, 2], "d": {**LR, "times": "lr"}}, "times is for a range of factors of a range"),
        (
            {"p": ["a", "b"], "lr": {**LR, "when": {"p": "a"}}, "d": {**LR, "times": "lr"}},
            "'lr' is not always drawn; give the same when",
        ),
    ],
)
def test_a_wrong_space_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Space.of(fields, "my.yaml")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"g_optimiser.lr": LR},
            r"g_optimiser.lr=0.0001: there is no setting 'g_optimiser' \(did you",
        ),
        ({"generator.widht": {"low": 4, "high": 8}}, r"dcgan has no option 'widht' \(did you mean 'width'\?\)"),
        ({"loss": ["vanilla", "hing"]}, r"the space: loss=hing: loss: there is no loss 'hing' \(did you mean 'hinge'"),
        ({"g_optimizer.lr": {"low": -1.0, "high": 1.0}}, "the space: g_optimizer.lr=-1.0: "),
        ({"batch": [16, 4096]}, "batch=4096: batch is 4096, but digits has 1,741 samples"),
        ({"g_optimizer.betas.2": LR}, r"g_optimizer.betas.2=0.0001: "),
        ({"data": ["digits", "ring8"]}, "'data' is not to be set"),
    ],
)
def test_settings_that_there_are_not_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(Space.of(fields))


def test_a_file_that_says_one_thing_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("batch: [16, 32]\nz_dim: [2, 4]\nbatch: [16, 64]\n")
    with pytest.raises(ConfigError, match=r"space.yaml .*line 3: 'batch' is there twice, first in line 1"):
        Space.read(path)


# Recipes of configs.


@pytest.mark.parametrize("kind", ["digits", "ring8"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_was_drawn_is_a_recipe(recipe: str, kind: str, tmp_path: Path) -> None:
    data, here = load(kind), partial(settings, recipe=recipe, kind=kind)
    rng = np.random.default_rng(0)
    space = default_space(here([]), data)

    def suggest(name: str, it: Any) -> Any:
        if isinstance(it, CategoricalDistribution):
            return it.choices[rng.integers(len(it.choices))]
        return it.low + (it.high - it.low) * rng.random()

    for _ in range(4):
        config = here(space.assignments(space.draw(suggest)))
        (tmp_path / "best.yaml").write_text(as_recipe(config, data))
        assert not differences(resolve(data, str(tmp_path / "best.yaml")), config)


@pytest.mark.parametrize(
    ("recipe", "set_"),
    [
        ("wgan", "balance=alternating"),
        ("wgan-gp", "discriminator=dcgan"),
        ("r3gan", "g_optimizer.lr={class: cosine, from: 1e-3, to: 1e-5}"),
    ],
)
def test_a_part_without_the_recipes_options_is_a_recipe(recipe: str, set_: str, tmp_path: Path) -> None:
    data, file = load("digits"), tmp_path / "best.yaml"
    config = resolve(data, recipe, {}, [set_])
    file.write_text(as_recipe(config, data))
    assert not differences(resolve(data, str(file)), config)


@pytest.mark.parametrize("ends", [{"steps": 50}, {"kimg": 3.0}, {"steps": 50, "kimg": 3.0}])
def test_the_end_that_was_asked_for_is_in_the_recipe(ends: dict[str, float], tmp_path: Path) -> None:
    data, file = load("digits"), tmp_path / "best.yaml"
    asked = resolve(data, "vanilla", ends)
    file.write_text(as_recipe(asked, data))
    found = resolve(data, str(file))
    assert (found.steps, found.kimg) == (ends.get("steps"), ends.get("kimg"))
    own = resolve(data, "vanilla")
    file.write_text(as_recipe(own.model_copy(update={"steps": 50}), data))
    found = resolve(data, str(file))
    assert (found.steps, found.kimg) == (50, own.kimg)


def test_the_size_that_was_asked_for_is_in_the_recipe(tmp_path: Path) -> None:
    data, file = load("digits"), tmp_path / "best.yaml"
    file.write_text(as_recipe(resolve(data, "vanilla"), data))
    assert chosen_size(None, str(file), []) is None
    file.write_text(as_recipe(resolve(data, "vanilla"), data, 8))
    assert chosen_size(None, str(file), []) == 8
    assert resolve(data, str(file)).size == 8


@pytest.mark.parametrize("given", ["balance", "[balnace]", "[loss]", "true"])
def test_replacing_what_a_file_does_not_have_is_refused(given: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"replace: {given}\nbalance: {{d_steps: 2}}\n")
    with pytest.raises(ConfigError, match=r"mine.yaml: replace is .*: give a list of settings that the file has"):
        resolve(load("digits"), str(tmp_path / "mine.yaml"))


def test_values_and_entries_are_shown() -> None:
    entry = Entry("a", Choices({"x": 1, "y": 2}), when={"b": (1, 2)})
    assert str(entry) == "a: x, y, when b is 1 or 2"
