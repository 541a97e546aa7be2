"""HyperGAN's files as recipes: what each part becomes, what is named as without meaning, and that all of it trains."""

import json
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from poise import models
from poise.config import build, parse, parse_file
from poise.data import Data, load
from poise.errors import ConfigError, PoiseError, ShapeError
from poise.recipes import resolve
from poise.recipes.hypergan import Imported, convert, convert_file
from poise.recipes.hypergan.document import read
from poise.recipes.hypergan.hooks import HOOKS
from poise.recipes.hypergan.losses import LOSSES
from poise.recipes.hypergan.names import key, last_name
from poise.recipes.hypergan.trainers import TRAINERS
from poise.trainer import Trainer, make_fabric

NETWORK = "class:hypergan.discriminators.configurable_discriminator.ConfigurableDiscriminator"


def optimizer(**options: Any) -> dict[str, Any]:
    return {"class": "class:torch.optim.Adam", "lr": 1e-4, "betas": [0.0, 0.999]} | options


def encoder(depth: int = 6) -> dict[str, Any]:
    widths = [32, 64, 128, 256, 512, 512][:depth]
    halvings = [text for width in widths for text in (f"conv {width} stride=1", "adaptive_avg_pool", "relu")]
    return {"class": NETWORK, "layers": [*halvings, "flatten", "linear 256 bias=false", "tanh"]}


BALANCED: dict[str, Any] = {
    "class": "class:hypergan.trainers.balanced_trainer.BalancedTrainer",
    "imbalance": 0.06,
    "pretrain_d": 1000,
    "d_optimizer": optimizer(),
    "g_optimizer": optimizer(),
    "hooks": [
        {
            "class": "function:hypergan.train_hooks.gradient_norm_train_hook.GradientNormTrainHook",
            "gamma": 2e4,
            "loss": ["d"],
        },
        {
            "class": "function:hypergan.train_hooks.initialize_as_autoencoder.InitializeAsAutoencoder",
            "steps": 10000,
            "optimizer": optimizer(betas=[0.9, 0.999]),
            "encoder": encoder(),
        },
    ],
}

# A whole model, with the habits of files that people keep: comments, a comma too many, keys switched off.
MODEL = """
// a small one
{
  "discriminator": {
    "class": "class:hypergan.discriminators.configurable_discriminator.ConfigurableDiscriminator",
    "layers": ["conv 8 stride=2", "relu", "conv 8 stride=2", "relu", "flatten", "linear 1 bias=false",]
  },
  "generator": {
    "class": "class:hypergan.discriminators.configurable_discriminator.ConfigurableDiscriminator",
    "layers": [
      "identity name=enc",
      "linear 16", "initializer xavier_normal gain=relu", "relu name=w", /* the style */
      "layer enc", "reshape 2*2*4",
      "deconv 8", "adaptive_instance_norm", "relu",
      "deconv 3 initializer=(xavier_uniform gain=tanh)", "hardtanh"
    ]
  },
  "latent": {
    "class": "function:hypergan.distributions.uniform_distribution.UniformDistribution",
    "projections": ["function:hypergan.distributions.uniform_distribution.identity"],
    "min": -1, "max": 1, "z": 16
  },
  "loss": {"class": "function:hypergan.losses.ragan_loss.RaganLoss", "type": "hinge", "reduce": "reduce_mean"},
  "trainer": {
    "class": "class:hypergan.trainers.experimental.simultaneous_trainer.SimultaneousTrainer",
    "//pretrain_d": 100,
    "optimizer": {"class": "class:torch.optim.Adam", "lr": 1e-4, "betas": [0.0, 0.999]},
    "hooks": [
      {"class": "class:hypergan.train_hooks.gradient_norm_train_hook.GradientNormTrainHook", "loss": ["g", "d"]},
      {"class": "function:hypergan.train_hooks.online_ewc_train_hook.OnlineEWCTrainHook", "gamma": 1, "verbose": true},
      {"class": "hypergan.train_hooks.extragradient_train_hook.ExtragradientTrainHook", "formulation": "agree"},
    ],
  },
  "input": {"class": "class:hypergan.inputs.image_loader.ImageLoader", "directory": "/data", "batch_size": 4},
  "hypergan_version": "1.0.0",
  "class": "class:hypergan.gans.standard_gan.StandardGAN",
}
"""


def imported(value: Any) -> Imported:
    return convert(value if isinstance(value, str) else json.dumps(value), "file.json")


def model(**parts: Any) -> dict[str, Any]:
    return {"class": "class:hypergan.gans.standard_gan.StandardGAN"} | parts


def warned(result: Imported) -> dict[str, str]:
    return {note.path: note.says for note in result.notes if note.changes_outcome}


def informed(result: Imported) -> dict[str, str]:
    return {note.path: note.says for note in result.notes if not note.changes_outcome}


def pictures(side: int, n: int = 8) -> Data:
    return load(np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8))


def trainer(result: Imported, data: Data, tmp_path: Path, *assignments: str) -> Trainer:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(result.text(), encoding="utf-8")
    return build(resolve(data, str(recipe), {"steps": 4}, assignments), data.shape, make_fabric("cpu"))


def step(it: Trainer, data: Data, batch: int = 2) -> dict[str, float]:
    return {name: value.item() for name, value in it.step(it.feed(data, batch).batch(it.steps)).items()}


# The example of the format: it imports without a word, and trains as it is.


def test_a_trainer_alone() -> None:
    result = imported(BALANCED)
    adam = {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999]}
    assert result.notes == ()
    assert result.settings == {
        "z_dim": 256,
        "penalties": {"gradient_norm": {"weight": 2e4}},
        "balance": {"class": "balanced", "imbalance": 0.06, "pretrain_d": 1000},
        "warmup": {
            "class": "autoencoder",
            "steps": 10000,
            "encoder": {"class": "layers", "layers": encoder()["layers"]},
            "optimizer": {"class": "Adam", "lr": 1e-4, "betas": [0.9, 0.999]},
        },
        "g_optimizer": adam,
        "d_optimizer": adam,
    }


def test_a_trainer_alone_trains(tmp_path: Path) -> None:
    data = pictures(64)
    one = trainer(imported(BALANCED), data, tmp_path, "batch=2")
    assert set(step(one, data)) >= {"warmup_loss"}
    assert one.z_dim == 256
    assert one.warmup is not None
    assert one.warmup.steps == 10000
    two = trainer(imported(BALANCED), data, tmp_path, "batch=2", "warmup.steps=1", "balance.pretrain_d=1")
    step(two, data)
    numbers = step(two, data)
    assert all(np.isfinite(value) for value in numbers.values())
    assert set(numbers) >= {"d_loss", "gradient_norm_loss"}
    assert two.updates == {"D": 1, "G": 0}


def test_a_model(tmp_path: Path) -> None:
    result = imported(MODEL)
    assert list(result.settings) == (
        "size batch z_dim generator discriminator loss penalties balance g_optimizer d_optimizer".split()
    )
    assert result.settings["size"] == 8
    assert result.settings["batch"] == 4
    assert result.settings["z_dim"] == 16
    assert result.settings["generator"]["layers"][:3] == ["identity name=enc", "linear 16", "relu name=w"]
    assert "deconv 3 initializer=(xavier_normal gain=1.6666666666666667)" in result.settings["generator"]["layers"]
    assert result.settings["loss"] == {"class": "relativistic_average", "form": "hinge"}
    assert result.settings["penalties"] == {
        "gradient_norm": {"weight": 1.0},
        "g_gradient_norm": {"class": "gradient_norm", "weight": 1.0, "to": "G"},
    }
    assert result.settings["balance"] == {"class": "simultaneous"}
    assert result.settings["d_optimizer"]["wrap"] == [{"class": "extragradient"}]
    data = pictures(8)
    one = trainer(result, data, tmp_path)
    for _ in range(2):
        numbers = step(one, data, 4)
    assert all(np.isfinite(value) for value in numbers.values())
    assert set(numbers) >= {"d_loss", "g_loss", "gradient_norm_loss", "g_gradient_norm_loss"}
    assert one.updates == {"D": 2, "G": 2}


def test_what_of_a_model_has_no_meaning() -> None:
    result = imported(MODEL)
    assert warned(result) == {
        "generator.layers[9]": (
            "the initializer 'xavier_uniform' is uniform there, and normal with the same variance here"
        ),
        "latent": "latents are uniform there, and drawn from N(0, 1) here",
        "trainer.hooks[1]": "there is no hook 'OnlineEWCTrainHook' here; left out",
        "trainer.hooks[2]": (
            "the second gradient is taken where the optimizer's step along the first one leads, and followed alone "
            "here; it is taken a step of 1e-4 along the gradient away, and the sum of both is followed there"
        ),
        "trainer.hooks[2].formulation": "has no meaning here",
    }
    assert list(informed(result)) == [
        "generator.layers[2]",
        "latent.min",
        "latent.max",
        "loss.reduce",
        "input.directory",
        "hypergan_version",
    ]


def test_nothing_in_a_file_is_dropped_without_a_word() -> None:
    """Wherever a name is added that nobody knows, it is named."""
    value = read(MODEL, "").value | {"encoder": encoder(2), "runtime": {"width": 8}}
    value["trainer"]["hooks"].append(BALANCED["hooks"][1] | {"encoder": encoder(2)})
    value["latent"]["z"] = 256
    value["generator"]["layers"][5] = "reshape 2*2*64"
    silent = ("trainer.hooks[1]", "encoder")  # named as a whole
    for path, places in _objects(value):
        changed = deepcopy(value)
        inside: Any = changed
        for place in places:
            inside = inside[place]
        inside["surprise"] = 3
        found = {note.path for note in imported(changed).notes}
        expected = path if path in silent else f"{path}.surprise".lstrip(".")
        assert expected in found, path


def _objects(value: Any, path: str = "", places: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if isinstance(value, dict):
        yield path, places
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _objects(
            item, f"{path}.{name}".lstrip(".") if isinstance(name, str) else f"{path}[{name}]", (*places, name)
        )


@pytest.mark.parametrize("odd", [[["a"]], {}, "odd", -1, 0, 1e300])
def test_odd_values_are_named_or_refused(odd: Any) -> None:
    """Whatever stands anywhere, there is a recipe or an error of poise's own."""
    for value in (read(MODEL, "").value, BALANCED | {"hooks": BALANCED["hooks"][:1]}):
        for places in _leaves(value):
            changed = deepcopy(value)
            inside: Any = changed
            for place in places[:-1]:
                inside = inside[place]
            inside[places[-1]] = odd
            try:
                result = imported(changed)
            except PoiseError:
                continue
            assert yaml.safe_load(result.text())["recipe"] == "vanilla"
            parse({"data": "", "steps": 1, "generator": "dcgan", "discriminator": "dcgan", **result.settings})


def _leaves(value: Any, places: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if places:
        yield places
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _leaves(item, (*places, name))


# Every trainer, hook and loss that is known gives a recipe that trains.

TRAINER_OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("AlternatingTrainer", {}, {"class": "alternating"}, []),
    ("alternating_trainer.ALTERNATINGTRAINER", {"d_steps": 5}, {"class": "alternating", "d_steps": 5}, []),
    (
        "AlternatingTrainer",
        {"d_update_steps": 2, "g_update": 3},
        {"class": "alternating", "d_steps": 2, "g_steps": 3},
        [],
    ),
    (
        "AlternatingTrainer",
        {"train_g_every": 4, "pretrain_d": 7},
        {"class": "alternating", "d_steps": 4, "pretrain_d": 7},
        [],
    ),
    ("AlternatingTrainer", {"train_d_every": 2}, {"class": "alternating", "g_steps": 2}, []),
    (
        "AlternatingTrainer",
        {"train_d_every": 2, "train_g_every": 3},
        {"class": "alternating", "d_steps": 3},
        ["train_d_every"],
    ),
    ("AlternatingTrainer", {"d_steps": 2, "d_update": 3}, {"class": "alternating", "d_steps": 2}, ["d_update"]),
    ("AlternatingTrainer", {"d_steps": "many"}, {"class": "alternating"}, ["d_steps"]),
    ("AlternatingTrainer", {"d_steps": 0}, {"class": "alternating"}, ["d_steps"]),
    ("WGANTrainer", {"d_steps": "5"}, {"class": "alternating", "d_steps": 5}, []),
    ("SimultaneousTrainer", {"ttur": 2.0}, {"class": "simultaneous"}, ["ttur"]),
    ("BalancedTrainer", {}, {"class": "balanced", "imbalance": 0.1}, []),
    (
        "BalancedTrainer",
        {"d_fake_balance": True, "d_until": 3},
        {"class": "balanced", "imbalance": 0.1, "d_fake_balance": True, "pretrain_d": 3},
        [],
    ),
    ("AccumulateGradientTrainer", {}, {"class": "accumulate", "n": 3}, []),
    (
        "AccumulateGradientTrainer",
        {"accumulate": 10, "type": "agree"},
        {"class": "accumulate", "n": 10, "combine": "agree"},
        [],
    ),
    (
        "AccumulateGradientTrainer",
        {"type": "variance", "max_spread": 0.2},
        {"class": "accumulate", "n": 3, "combine": "variance"},
        ["type", "max_spread"],
    ),
    ("AccumulateGradientsTrainer", {"type": "odd"}, {"class": "accumulate", "n": 3}, ["type"]),
]

HOOK_OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("GradientNormTrainHook", {}, {"penalties": {"gradient_norm": {"weight": 1.0}}}, []),
    ("GradientNormTrainHook", {"gamma": -3}, {}, ["gamma"]),
    ("GradientPenaltyTrainHook", {"lambda": -1, "flex": 2}, {}, ["", "lambda"]),
    ("StabilizingTrainingTrainHook", {"gamma": -1}, {}, ["", "gamma"]),
    (
        "GradientNormTrainHook",
        {"gamma": "decay(range=1:0)", "loss": ["z"]},
        {},
        ["gamma", "loss"],
    ),
    (
        "AdversarialNormTrainHook",
        {"gamma": 100, "loss": "g", "offset": 1.0},
        {"penalties": {"g_adversarial_norm": {"class": "adversarial_norm", "weight": 100.0, "to": "G"}}},
        ["offset"],
    ),
    (
        "AdversarialNormTrainHook",
        {"gammas": [-1e12, 1e12], "loss": ["dg"], "mode": "fake"},
        {"penalties": {"g_adversarial_norm": {"class": "adversarial_norm", "weight": 1e12, "mode": "fake", "to": "G"}}},
        ["gammas[0]"],
    ),
    (
        "AdversarialNormTrainHook",
        {"gammas": [1], "gamma": 2, "mode": "odd"},
        {"penalties": {"adversarial_norm": {"weight": 2.0}}},
        ["gammas", "mode"],
    ),
    ("GradientPenaltyTrainHook", {"lambda": 10}, {"penalties": {"wgan_gp": {"weight": 10.0}}}, [""]),
    (
        "GradientPenaltyTrainHook",
        {"flex": 0.5, "type": "relu", "target": "discriminator", "components": ["discriminator"]},
        {"penalties": {"wgan_gp": {"weight": 1.0, "target": 0.5, "one_sided": True}}},
        ["", "components"],
    ),
    (
        "GradientPenaltyTrainHook",
        {"lambda": 5, "input": "x", "flex": 0},
        {"penalties": {"r1": {"weight": 10.0}}},
        [""],
    ),
    ("GradientPenaltyTrainHook", {"input": "g", "flex": 0}, {"penalties": {"r2": {"weight": 2.0}}}, [""]),
    (
        "GradientPenaltyTrainHook",
        {"input": "x"},
        {"penalties": {"dragan": {"weight": 1.0, "target": 1.0, "spread": 0.0}}},
        [""],
    ),
    ("GradientPenaltyTrainHook", {"input": "g"}, {"penalties": {"wgan_gp": {"weight": 1.0}}}, ["", "input"]),
    ("GradientPenaltyTrainHook", {"loss": "g_loss"}, {}, ["loss"]),
    ("GradientPenaltyTrainHook", {"loss": ["d", "g"]}, {"penalties": {"wgan_gp": {"weight": 1.0}}}, ["", "loss"]),
    (
        "GradientPenaltyTrainHook",
        {"input": "x", "flex": 0, "type": "odd"},
        {"penalties": {"r1": {"weight": 2.0}}},
        ["", "type"],
    ),
    ("MaxGpTrainHook", {"lambda": 3}, {"penalties": {"max_gp": {"weight": 3.0}}}, [""]),
    ("StabilizingTrainingTrainHook", {"gamma": 2}, {"penalties": {"roth": {"weight": 2.0}}}, [""]),
    (
        "OrthogonalRegularizationTrainHook",
        {},
        {"penalties": {"g_orthogonal": {"class": "orthogonal", "weight": 1e-6, "to": "G"}}},
        [""],
    ),
    (
        "WeightConstraintTrainHook",
        {"weight_constraint": ["clip"], "limit": 0.05, "constraint_every": 2},
        {"constraints": {"clip": {"limit": 0.05, "every": 2}}},
        [],
    ),
    (
        "WeightConstraintTrainHook",
        {"constraints": ["spectral_norm", "lipschitz", "clip"], "clip": -1},
        {"constraints": {"spectral_norm": {}, "clip": {"limit": 0.01}}},
        ["", "clip"],
    ),
    ("WeightConstraintTrainHook", {}, {}, [""]),
    (
        "ExtragradientTrainHook",
        {"step_size": 1e-4},
        {"g_optimizer": {"wrap": [{"class": "extragradient"}]}, "d_optimizer": {"wrap": [{"class": "extragradient"}]}},
        ["", "step_size"],
    ),
    (
        "NegativeMomentumTrainHook",
        {"gamma": 0.33},
        {role: {"wrap": [{"class": "negative_momentum", "beta": -0.33}]} for role in ("g_optimizer", "d_optimizer")},
        [""],
    ),
    (
        "InitializeAsAutoencoder",
        {"encoder": {"layers": ["flatten", "linear 5"]}, "info": True},
        {
            "z_dim": 5,
            "warmup": {
                "class": "autoencoder",
                "steps": 1000,
                "encoder": {"class": "layers", "layers": ["flatten", "linear 5"]},
            },
        },
        [],
    ),
    ("InitializeAsAutoencoder", {"encoder": {"class": "x.DCGANDiscriminator"}}, {}, [""]),
    ("InitializeAsAutoencoder", {}, {}, [""]),
    ("DifferentialAugmentationTrainHook", {"policy": "color"}, {}, [""]),
    ("DifferentialAugmentationTrainHook", {}, {}, []),
    ("LearningRateDropoutTrainHook", {"dropout": 0.1, "skip_d": True}, {}, [""]),
]

LOSS_OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any] | None, list[str]]] = [
    ("StandardLoss", {}, {"class": "vanilla"}, []),
    ("standard_gan_loss.StandardGANLoss", {"label_smooth": 0.1}, {"class": "vanilla", "label_smoothing": 0.1}, []),
    ("LogisticLoss", {"beta": 1, "threshold": 20}, {"class": "vanilla"}, []),
    ("LogisticLoss", {"beta": 2}, {"class": "vanilla"}, ["beta"]),
    ("LeastSquaresLoss", {}, {"class": "lsgan", "a": -1.0, "b": 1.0, "c": 1.0}, []),
    ("LSGANLoss", {"labels": [0, 1, 1]}, {"class": "lsgan", "a": 0.0, "b": 1.0, "c": 1.0}, []),
    ("LeastSquaresLoss", {"labels": [0, 1]}, {"class": "lsgan", "a": -1.0, "b": 1.0, "c": 1.0}, ["labels"]),
    ("WassersteinLoss", {}, {"class": "wasserstein"}, []),
    ("WGANLoss", {"reverse": True}, {"class": "wasserstein"}, ["reverse"]),
    ("WassersteinLoss", {"kl": True}, {"class": "wasserstein_kl"}, []),
    ("HingeLoss", {}, {"class": "hinge"}, []),
    ("RaganLoss", {}, {"class": "relativistic_average"}, [""]),
    ("RaganLoss", {"type": "least_squares"}, {"class": "relativistic_average", "form": "least_squares"}, []),
    (
        "RaganLoss",
        {"type": "least_squares", "labels": [0, 1, 1]},
        {"class": "relativistic_average", "form": "least_squares"},
        ["labels"],
    ),
    ("RaganLoss", {"type": "hinge", "rgan": True}, {"class": "relativistic", "form": "hinge"}, []),
    ("RaganLoss", {"type": "wasserstein"}, {"class": "wasserstein"}, [""]),
    ("RaganLoss", {"type": "odd"}, None, ["type"]),
    ("RealnessLoss", {"skew": [-0.1, 0.1]}, {"class": "realness", "objective": "anchored", "outcomes": 10}, ["skew"]),
    ("SoftmaxLoss", {}, {"class": "softmax"}, []),
    ("FDivergenceLoss", {}, {"class": "minimax"}, []),
    ("FDivergenceLoss", {"type": "gan", "g_loss_type": "kl"}, {"class": "minimax"}, ["g_loss_type"]),
    ("FDivergenceLoss", {"type": "total_variation"}, {"class": "total_variation"}, []),
    *(
        ("FDivergenceLoss", {"type": kind}, {"class": kind}, [""])
        for kind in ("kl", "js", "reverse_kl", "pearson", "squared_hellinger", "neyman")
    ),
    ("FDivergenceLoss", {"type": "js", "g_loss_type": "gan"}, {"class": "js", "saturating": True}, []),
    (
        "FDivergenceLoss",
        {"type": "pearson", "g_loss_type": "gan", "regularizer": "kl"},
        {"class": "pearson", "saturating": True},
        ["regularizer"],
    ),
    ("FDivergenceLoss", {"type": "jeffrey"}, None, ["type"]),
    ("QPLoss", {"reduce": "reduce_mean"}, None, [""]),
]


def _component(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"class": f"class:hypergan.somewhere.else.{name}", **options}


def _paths(result: Imported, root: str) -> list[str]:
    """What was warned of, from ``root`` on."""
    paths = [note.path for note in result.notes if note.changes_outcome and note.path.startswith(root)]
    return sorted(path.removeprefix(root).lstrip(".") for path in paths)


def require_training(result: Imported, tmp_path: Path) -> None:
    """Two steps on small pictures, the networks small where the recipe's own are taken."""
    data = pictures(8)
    small = ["generator.width=2", "discriminator.width=2"]
    warm = ["warmup.steps=1"] if "warmup" in result.settings else []
    one = trainer(result, data, tmp_path, "balance.pretrain_d=0", *small, *warm)
    for _ in range(2):
        assert all(np.isfinite(value) for value in step(one, data, 4).values())


@pytest.mark.parametrize(("name", "options", "balance", "warnings"), TRAINER_OPTIONS)
def test_trainers(
    name: str, options: dict[str, Any], balance: dict[str, Any], warnings: list[str], tmp_path: Path
) -> None:
    result = imported(model(trainer=_component(name, options)))
    assert result.settings == {"balance": balance}
    assert _paths(result, "trainer") == sorted(warnings)
    require_training(result, tmp_path)


@pytest.mark.parametrize(("name", "options", "settings", "warnings"), HOOK_OPTIONS)
def test_hooks(
    name: str, options: dict[str, Any], settings: dict[str, Any], warnings: list[str], tmp_path: Path
) -> None:
    hinge = {"class": "HingeLoss"}  # so that something has a meaning
    result = imported(model(loss=hinge, hooks=[_component(name, options)]))
    of_samples = {"wgan_gp", "r1", "r2", "dragan", "max_gp", "roth"}.intersection(settings.get("penalties", {}))
    unmixed = {"discriminator": {"class": "dcgan", "norm": "none"}} if of_samples else {}
    assert result.settings == settings | unmixed | {"loss": {"class": "hinge"}}
    assert _paths(result, "hooks[0]") == sorted(warnings)
    assert bool(warned(result).get("")) == bool(of_samples)
    require_training(result, tmp_path)


@pytest.mark.parametrize(("name", "options", "loss", "warnings"), LOSS_OPTIONS)
def test_losses(
    name: str, options: dict[str, Any], loss: dict[str, Any] | None, warnings: list[str], tmp_path: Path
) -> None:
    result = imported(model(loss=_component(name, options), input={"batch_size": 4}))
    assert result.settings.get("loss") == loss
    assert _paths(result, "loss") == sorted(warnings)
    require_training(result, tmp_path)


def test_every_entry_of_the_tables_is_tried() -> None:
    assert {key(name, "trainer") for name, *_ in TRAINER_OPTIONS} == set(TRAINERS)
    assert {key(name, "trainhook", "hook") for name, *_ in HOOK_OPTIONS} >= set(HOOKS)
    assert {key(name, "loss") for name, *_ in LOSS_OPTIONS} >= set(LOSSES)


def test_a_penalty_that_comes_twice_has_two_names() -> None:
    hooks = [_component("GradientNormTrainHook", {"gamma": weight}) for weight in (1, 2, 3)]
    penalties = imported(model(hooks=hooks)).settings["penalties"]
    assert {name: it["weight"] for name, it in penalties.items()} == {
        "gradient_norm": 1.0,
        "gradient_norm_2": 2.0,
        "gradient_norm_3": 3.0,
    }
    assert penalties["gradient_norm_2"]["class"] == "gradient_norm"


def test_a_second_warm_up_is_left_out() -> None:
    hook = _component("InitializeAsAutoencoder", {"encoder": {"layers": ["flatten", "linear 5"]}})
    result = imported(model(hooks=[hook, hook]))
    assert warned(result) == {"hooks[1]": "there is one warm-up here, and this is another; left out"}


def test_a_penalty_of_the_loss_and_clipping_of_the_trainer(tmp_path: Path) -> None:
    result = imported(
        model(
            loss=_component("WassersteinLoss", {"gradient_penalty": 10}),
            trainer=_component("AlternatingTrainer", {"d_clipped_weights": 0.02}),
        )
    )
    assert result.settings["penalties"] == {"wgan_gp": {"weight": 10.0}}
    assert result.settings["constraints"] == {"clip": {"limit": 0.02}}
    assert warned(result) == {"": WITHOUT_BATCH_NORM}
    require_training(result, tmp_path)


WITHOUT_BATCH_NORM = (
    "the recipe's DCGAN discriminator is taken without batch norm, for a penalty on the gradient at each sample takes "
    "a logit that depends on no other; for vectors give --set discriminator=mlp"
)


def test_a_penalty_of_each_sample_finds_samples_apart(tmp_path: Path) -> None:
    hooks = [_component("GradientPenaltyTrainHook", {"lambda": 10})]
    result = imported(model(hooks=hooks))
    data = pictures(8)
    one = trainer(result, data, tmp_path, "generator.width=2", "discriminator.width=2")
    assert not any(isinstance(it, torch.nn.BatchNorm2d) for it in one.discriminator.modules())
    vectors = load(np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32))
    step(trainer(result, vectors, tmp_path, "batch=8", "discriminator=mlp"), vectors, 8)

    named = imported(model(hooks=hooks, discriminator={"class": "x.DCGANDiscriminator"}))
    assert named.settings["discriminator"] == {"class": "dcgan", "norm": "none"}
    assert "" not in warned(named)  # it has none there either
    unknown = imported(model(hooks=hooks, discriminator={"class": "x.OddDiscriminator"}))
    assert unknown.settings["discriminator"] == {"class": "dcgan", "norm": "none"}
    assert warned(unknown)[""] == WITHOUT_BATCH_NORM
    own = imported(model(hooks=hooks, discriminator={"layers": ["linear 1"]}))
    assert own.settings["discriminator"] == {"class": "layers", "layers": ["linear 1"]}
    counted = imported(model(hooks=hooks, loss={"class": "x.RealnessLoss"}))
    assert counted.settings["discriminator"] == {"class": "dcgan", "norm": "none", "outputs": 10}


def test_a_trainer_around_another(tmp_path: Path) -> None:
    inside = _component("SimultaneousTrainer", {"optimizer": optimizer()})
    result = imported(_component("BatchFitnessTrainer", {"trainer": inside, "search_steps": 25}))
    assert result.settings["balance"] == {"class": "simultaneous"}
    assert result.settings["d_optimizer"]["lr"] == 1e-4
    assert warned(result) == {
        "": "there is no trainer 'BatchFitnessTrainer' here; the one inside is taken",
        "search_steps": "has no meaning here",
    }
    require_training(result, tmp_path)


def test_an_unknown_trainer_leaves_its_optimizers_and_hooks() -> None:
    result = imported(
        _component("CurlyTrainer", BALANCED["hooks"][0] | {"g_optimizer": optimizer()}) | {"class": "CurlyTrainer"}
    )
    assert set(result.settings) == {"g_optimizer"}
    assert warned(result)[""] == "there is no trainer 'CurlyTrainer' here; the recipe's own balance is taken"


# Optimizers.


@pytest.mark.parametrize(
    ("given", "settings", "warnings"),
    [
        # What is not said is torch's default, and not that of the recipe below.
        ({"class": "class:torch.optim.Adam"}, {"class": "Adam", "lr": 1e-3, "betas": [0.9, 0.999]}, []),
        ({"class": "function:torch.optim.RMSprop", "lr": 5e-5}, {"class": "RMSprop", "lr": 5e-5}, []),
        ({"class": "torch.optim.sgd.SGD", "momentum": 0.5}, {"class": "SGD", "lr": 1e-3, "momentum": 0.5}, []),
        (
            optimizer(amsgrad=True, eps=1e-8, weight_decay=0),
            {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999], "amsgrad": True, "eps": 1e-8, "weight_decay": 0},
            [],
        ),
        (
            optimizer(final_lr=1, foreach="x"),
            {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999]},
            ["final_lr", "foreach"],
        ),
        (optimizer(betas=[1]), {"class": "Adam", "lr": 1e-4, "betas": [0.9, 0.999]}, ["betas"]),
        (
            {
                "class": "tensorflow.python.training.adam.AdamOptimizer",
                "learn_rate": 1e-4,
                "beta1": 0.0,
                "epsilon": 1e-6,
            },
            {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999], "eps": 1e-6},
            [],
        ),
        ({"class": "x.GradientDescentOptimizer", "learning_rate": 1}, {"class": "SGD", "lr": 1.0}, []),
        (optimizer() | {"class": "x.AdaBound"}, {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999]}, [""]),
        (optimizer() | {"class": "torch.optim.LBFGS"}, {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999]}, [""]),
        ({"lr": 1e-4}, {"class": "Adam", "lr": 1e-4, "betas": [0.9, 0.999]}, [""]),
        (
            {
                "class": "x.CurlOptimizer",
                "rho": 1.0,
                "optimizer": {"class": "x.EmaOptimizer", "optimizer": optimizer()},
            },
            {"class": "Adam", "lr": 1e-4, "betas": [0.0, 0.999]},
            ["", "optimizer"],
        ),
    ],
)
def test_optimizers(given: dict[str, Any], settings: dict[str, Any], warnings: list[str], tmp_path: Path) -> None:
    result = imported(_component("SimultaneousTrainer", {"optimizer": given}))
    assert result.settings["g_optimizer"] == result.settings["d_optimizer"] == settings
    assert _paths(result, "optimizer") == sorted(warnings)
    require_training(result, tmp_path)


def test_a_players_own_optimizer_comes_before_the_one_for_both() -> None:
    result = imported(_component("AlternatingTrainer", {"optimizer": optimizer(), "d_optimizer": optimizer(lr=1)}))
    assert result.settings["g_optimizer"]["lr"] == 1e-4
    assert result.settings["d_optimizer"]["lr"] == 1.0


def test_an_optimizer_alone_is_both_players() -> None:
    result = imported(optimizer())
    assert result.settings["g_optimizer"] == result.settings["d_optimizer"]
    assert set(result.settings) == {"g_optimizer", "d_optimizer"}


# Latents.


@pytest.mark.parametrize(
    ("latent", "z", "warnings"),
    [
        ({"class": "x.NormalDistribution", "z": 100}, 100, []),
        ({"class": "x.UniformDistribution", "z": 100, "min": -1, "max": 1}, 100, [""]),
        (
            {"class": "x.UniformDistribution", "z": 100, "projections": ["x.identity", "x.sphere"]},
            200,
            ["", "projections"],
        ),
        ({"class": "x.TruncatedNormalDistribution", "z": 1e2}, 100, [""]),
        (
            {"class": "x.OptimizeDistribution", "steps": 2, "source": {"class": "x.NormalDistribution", "z": 9}},
            9,
            ["", "steps"],
        ),
        (
            {
                "class": "x.OptimizeDistribution",
                "source": "function:x.uniform_distribution.UniformDistribution",
                "z": 9,
            },
            9,
            ["", "source"],
        ),
        ({"class": "x.FitnessDistribution", "z": 9}, 9, [""]),
        ({"class": "x.NormalDistribution", "z": "many"}, None, ["z"]),
    ],
)
def test_latents(latent: dict[str, Any], z: int | None, warnings: list[str]) -> None:
    result = imported(model(latent=latent, loss={"class": "HingeLoss"}))
    assert result.settings.get("z_dim") == z
    assert _paths(result, "latent") == sorted(warnings)


def test_a_latent_alone() -> None:
    assert imported({"class": "x.NormalDistribution", "z": 7}).settings == {"z_dim": 7}


def test_an_encoder_that_does_not_fit_the_latents_is_named() -> None:
    result = imported(model(latent={"class": "x.NormalDistribution", "z": 9}, trainer=BALANCED))
    assert result.settings["z_dim"] == 9
    assert "the encoder gives 256 values, and latents have 9" in warned(result)["trainer.hooks[1].encoder.layers"]


# Networks.


@pytest.mark.parametrize(
    ("text", "translated", "warns"),
    [
        ("conv  64   stride=2 ", "conv 64 stride=2", False),
        ("linear 8 initializer=(xavier_normal)", "linear 8 initializer=(xavier_normal gain=1.4142135623730951)", False),
        ("linear 8 initializer=xavier_normal", "linear 8 initializer=(xavier_normal gain=1.4142135623730951)", False),
        (
            "linear 8 initializer=(xavier_normal gain=linear) bias=false",
            "linear 8 initializer=(xavier_normal gain=1.0) bias=false",
            False,
        ),
        ("linear 8 initializer=(xavier_uniform gain=2)", "linear 8 initializer=(xavier_normal gain=2.0)", True),
        ("linear 8 initializer=(normal 0 0.02)", "linear 8 initializer=(normal 0 0.02)", False),
        ("linear 8 initializer=(kaiming_normal)", "linear 8 initializer=(kaiming_normal)", False),
        ("linear 8 initializer=(kaiming_normal gain=linear)", "linear 8 initializer=(kaiming_normal slope=1.0)", False),
        ("linear 8 initializer=(kaiming_normal mode=fan_out)", "linear 8", True),
        ("linear 8 initializer=(orthogonal)", "linear 8 initializer=(orthogonal)", False),
        (
            "linear 8 initializer=(orthogonal gain=relu)",
            "linear 8 initializer=(orthogonal gain=1.4142135623730951)",
            False,
        ),
        ("linear 8 initializer=(orthogonal gain=odd)", "linear 8", True),
        ("linear 8 initializer=(constant 0) bias=false", "linear 8 bias=false", True),
        ("linear 8 initializer=stylegan", "linear 8", True),
        (
            "add self (linear 3 initializer=(orthogonal gain=tanh))",
            "add self (linear 3 initializer=(orthogonal gain=1.6666666666666667))",
            False,
        ),
        ("concat noise", "cat self noise", False),
    ],
)
def test_layers_are_translated(text: str, translated: str, warns: bool) -> None:
    value = model(discriminator={"class": NETWORK, "layers": ["adaptive_avg_pool 1", "conv 3", text]})
    if not text.startswith(("conv", "concat", "add")):
        value["discriminator"]["layers"].insert(2, "flatten")
    if text.startswith("add"):
        value["discriminator"]["layers"][1] = "flatten"
        value["discriminator"]["layers"].insert(2, "linear 3")
    result = imported(value)
    assert result.settings["discriminator"]["layers"][-1] == translated
    assert bool(warned(result)) is warns


def test_concat_with_a_layer() -> None:
    layers = ["conv 3 name=a", "concat layer a"]
    result = imported({"class": NETWORK, "layers": layers})
    assert result.settings == {"discriminator": {"class": "layers", "layers": ["conv 3 name=a", "cat self a"]}}


def test_initializers_begin_as_they_do_there() -> None:
    """The gain of kaiming is another word for the slope: both give the standard deviation gain / sqrt(inputs)."""
    text = imported({"class": NETWORK, "layers": ["linear 500 initializer=(kaiming_normal gain=selu)"]})
    torch.manual_seed(0)
    (layer,) = models.build(text.settings["discriminator"]["layers"], (400,)).layers
    assert next(layer.parameters()).std().item() == pytest.approx(0.75 / 400**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            ["linear  16 initializer=(xavier_uniform gain=tanh)   bais=false"],
            "file.json: generator.layers[0], column 53: linear has no option 'bais' (did you mean 'bias'?)\n"
            "  linear  16 initializer=(xavier_uniform gain=tanh)   bais=false\n"
            "                                                      ^",
        ),
        (
            ["initializer relu", "linear 16", "concat   layer   foo"],
            "file.json: generator.layers[2], column 18: cat reads 'foo', and no layer before it has that name (known: "
            "noise, self)\n"
            "  concat   layer   foo\n"
            "                   ^",
        ),
        (
            ["linear 16 name=a", "initializer relu", "linear 16  initializer=(xavier_normal)  name=a"],
            "file.json: generator.layers[2], column 41: generator.layers[0] is named 'a' already; choose another name\n"
            "  linear 16  initializer=(xavier_normal)  name=a\n"
            "                                          ^",
        ),
    ],
)
def test_errors_show_layers_as_the_file_has_them(layers: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        imported(model(generator={"layers": layers}))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("networks", "kind", "message"),
    [
        (
            {"discriminator": {"layers": ["conv 64", "conv 64 strid=2"]}},
            ConfigError,
            "file.json: discriminator.layers[1], column 9: conv has no option 'strid' (did you mean 'stride'?)\n"
            "  conv 64 strid=2\n"
            "          ^",
        ),
        (
            {"discriminator": {"layers": ["conv 64", "initializer normal 0 1", "con 64"]}},
            ConfigError,
            "file.json: discriminator.layers[2], column 1: there is no op 'con' (did you mean 'conv'?)\n  con 64\n  ^",
        ),
        (
            {"generator": {"layers": ["linear 4 ("]}},
            ConfigError,
            "file.json: generator.layers[0], column 10: '(' is never closed\n  linear 4 (\n           ^",
        ),
        (
            {"generator": {"layers": ["linear 4", "conv 3"]}},
            ShapeError,
            "file.json: generator.layers[1], column 1: conv takes an image (c, h, w) or a signal (c, length); "
            "(4,) comes in\n  conv 3\n  ^",
        ),
        (
            {"generator": {"layers": [["linear 4"]]}},
            ConfigError,
            "file.json: generator.layers[0] is [\"linear 4\"]; a layer is a text such as 'conv 64'",
        ),
        ({"generator": {"layers": []}}, ConfigError, "file.json: generator.layers is empty; a network needs a layer"),
        (
            {"generator": {"class": NETWORK, "layers": "linear 4"}},
            ConfigError,
            "file.json: generator.layers is \"linear 4\"; it must be a list of layers such as 'conv 64'",
        ),
        (
            {"trainer": {"hooks": [{"class": "InitializeAsAutoencoder", "encoder": {"layers": ["line 4"]}}]}},
            ConfigError,
            "file.json: trainer.hooks[0].encoder.layers[0], column 1: there is no op 'line' (did you mean 'linear'?)\n"
            "  line 4\n"
            "  ^",
        ),
    ],
)
def test_a_layer_that_is_none_is_an_error(networks: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        imported(model(**networks))
    assert str(error.value) == message


# The layer whose layers depend on the size of the images.


def resizable(*layers: str) -> dict[str, Any]:
    return {"class": NETWORK, "layers": ["identity name=w", "linear 10*10*16", "relu", *layers, "hardtanh"]}


@pytest.mark.parametrize(
    ("side", "channels", "stages"),
    [
        (16, 3, [(18, 30)]),
        (32, 3, [(34, 30)]),
        (64, 3, [(36, 60), (66, 30)]),
        (128, 1, [(36, 40), (68, 20), (130, 10)]),
    ],
)
def test_a_resizable_stack_is_written_out(side: int, channels: int, stages: list[tuple[int, int]]) -> None:
    """From 10 x 10: doubled, and from then on doubled after 2 are lost at the borders; 20, 36, 68, ...."""
    images = {"width": side, "height": side, "channels": channels}
    result = imported(model(generator=resizable("resizable_stack segment_softmax"), input=images))
    xavier = "initializer=(xavier_normal gain=1.4142135623730951)"
    written = [
        text
        for size, width in stages
        for text in (
            f"upsample w={size} h={size}",
            f"add self (ez_norm {xavier} style=w)",
            f"conv2d {width} padding=0 {xavier}",
            "relu",
        )
    ][:-1]
    assert result.settings["size"] == side
    assert result.settings["generator"]["layers"] == [
        "identity name=w",
        "linear 10*10*16",
        "relu",
        *written,
        f"segment_softmax {channels}",
        "hardtanh",
    ]
    assert warned(result) == {}
    assert informed(result)["generator.layers[3]"] == (
        f"resizable_stack is written out for images of {side} x {side} and {channels} channels, and for no others"
    )


def test_a_resizable_stack_of_a_file_without_a_size() -> None:
    options = "resizable_stack style=v segment_channels=2 max_channels=7"
    result = imported(model(generator=resizable("identity name=v", options)))
    assert result.settings["size"] == 64
    layers = result.settings["generator"]["layers"]
    assert layers[5].endswith("style=v)")
    assert layers[6].startswith("conv2d 24 ")
    assert warned(result) == {
        "generator.layers[4]": (
            "resizable_stack is written out for images of 64 x 64 and 3 channels; the file does not say their size"
        )
    }
    assert informed(result) == {"generator.layers[4]": "max_channels bounds nothing there, and nothing here"}


def test_a_resizable_stack_trains(tmp_path: Path) -> None:
    value = model(
        generator=resizable("resizable_stack"), input={"width": 16}, latent={"class": "x.NormalDistribution", "z": 8}
    )
    data = pictures(16)
    numbers = step(trainer(imported(value), data, tmp_path, "discriminator.width=2"), data)
    assert all(np.isfinite(it) for it in numbers.values())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            ["linear 2*2*16", "resizable_stack"],
            "file.json: generator.layers[1], column 1: resizable_stack takes an image (c, h, w) of at least 3 x 3 "
            "positions; (16, 2, 2) comes in\n"
            "  resizable_stack\n"
            "  ^",
        ),
        (
            ["resizable_stack"],
            "file.json: generator.layers[0], column 1: resizable_stack takes an image (c, h, w) of at least 3 x 3 "
            "positions; (64,) comes in\n"
            "  resizable_stack\n"
            "  ^",
        ),
        (
            ["linear 8*8*16", "resizable_stack  segment_chanels=2"],
            "file.json: generator.layers[1], column 18: resizable_stack has no option 'segment_chanels' (did you mean "
            "'segment_channels'?)\n"
            "  resizable_stack  segment_chanels=2\n"
            "                   ^",
        ),
        (
            ["linear 8*8*16", "resizable_stack"],
            "file.json: generator.layers[1], column 1: ez_norm reads a layer named 'w', and none before it has that "
            "name (none has a name; give one as in 'linear 128 name=w')\n"
            "  resizable_stack\n"
            "  ^",
        ),
    ],
)
def test_resizable_stacks_that_cannot_be(layers: list[str], message: str) -> None:
    with pytest.raises(PoiseError) as error:
        imported(model(generator={"layers": layers}))
    assert str(error.value) == message


def test_names_of_networks() -> None:
    result = imported(
        model(
            generator={"class": "x.ResizableGenerator", "final_depth": 32},
            discriminator={"class": "x.DCGANDiscriminator", "activation": "lrelu", "extra": 1},
        )
    )
    assert result.settings == {"discriminator": {"class": "dcgan"}}
    assert warned(result) == {
        "generator": "there is no network 'ResizableGenerator' here; the recipe's own is taken",
        "discriminator": "DCGAN's filters are 4 x 4 here, as in the paper",
        "discriminator.extra": "has no meaning here",
    }


def test_a_network_alone() -> None:
    one = imported({"class": "x.ConfigurableGenerator", "layers": ["linear 8*8*3"]})
    assert one.settings == {"size": 8, "generator": {"class": "layers", "layers": ["linear 8*8*3"]}}
    assert one.notes == ()
    other = imported({"class": NETWORK, "layers": ["linear 1"], "description": "d"})
    assert other.settings == {"discriminator": {"class": "layers", "layers": ["linear 1"]}}
    assert warned(other) == {"": "a network alone is taken for the discriminator"}
    odd = imported(model(discriminator={"class": "x.MyDiscriminator", "layers": ["linear 1"]}))
    assert odd.settings == other.settings
    assert warned(odd) == {"discriminator": "there is no network 'MyDiscriminator' here; its layers are taken"}


def test_realness_takes_as_many_outcomes_as_there_are_outputs(tmp_path: Path) -> None:
    loss = {"class": "x.RealnessLoss"}
    many = imported(model(loss=loss, discriminator={"class": NETWORK, "layers": ["flatten", "linear 7"]}))
    assert many.settings["loss"] == {"class": "realness", "objective": "anchored", "outcomes": 7}
    data = pictures(8)
    step(trainer(many, data, tmp_path, "generator.width=2"), data, 4)
    none = imported(model(loss=loss))
    assert none.settings["discriminator"] == {"class": "dcgan", "outputs": 10}
    one = imported(model(loss=loss, discriminator={"class": NETWORK, "layers": ["flatten", "linear 1"]}))
    assert "loss" not in one.settings
    assert "two or more outputs" in warned(one)["discriminator.layers"]


# The size of the images.


@pytest.mark.parametrize(
    ("parts", "size", "warnings"),
    [
        ({"input": {"width": 32, "height": 32}}, 32, {}),
        ({"runtime": {"width": 128}}, 128, {}),
        ({"input": {"width": 32}, "runtime": {"width": 128}}, 32, {}),
        ({"input": {"width": 32, "height": 16}}, None, {"input": "images are square here, and 32 x 16 there"}),
        ({"input": {"width": 48}}, None, {"": "power of two"}),
        ({"generator": {"layers": ["linear 16*16*3"]}, "input": {"width": 16}}, 16, {}),
        ({"generator": {"layers": ["linear 16*16*3"]}, "input": {"width": 32}}, 16, {"generator.layers": "32 pixels"}),
        ({"generator": {"layers": ["linear 16*8*3"]}}, None, {"generator.layers": "16 x 8, and images are square"}),
        ({"generator": {"layers": ["linear 48*48*3"]}}, None, {"generator.layers": "power of two"}),
        ({"generator": {"layers": ["linear 2"]}}, None, {}),
    ],
)
def test_size(parts: dict[str, Any], size: int | None, warnings: dict[str, str]) -> None:
    result = imported(model(loss={"class": "HingeLoss"}, **parts))
    assert result.settings.get("size") == size
    assert set(warned(result)) == set(warnings)
    for path, words in warnings.items():
        assert words in warned(result)[path]


def test_networks_are_tried_at_the_size_of_the_file() -> None:
    halvings = {"layers": ["adaptive_avg_pool"] * 6}
    assert "discriminator" in imported(model(discriminator=halvings)).settings  # 64 pixels are tried first
    with pytest.raises(ShapeError, match=r"discriminator.layers\[5\], column 1: adaptive_avg_pool halves"):
        imported(model(discriminator=halvings, input={"width": 32}))
    with pytest.raises(ShapeError, match=r"discriminator.layers\[4\], column 1"):
        imported(model(discriminator=halvings, generator={"layers": ["linear 16*16*3"]}))
    fixed = {"layers": ["adaptive_avg_pool", "reshape 128*128*3"]}  # only of 256 pixels
    assert "discriminator" in imported(model(discriminator=fixed)).settings


def test_vectors_are_trained_too(tmp_path: Path) -> None:
    result = imported(
        model(
            generator={"layers": ["linear 8", "relu", "linear 2"]},
            discriminator={"layers": ["linear 8", "relu", "linear 1"]},
            latent={"class": "x.NormalDistribution", "z": 3},
        )
    )
    data = load(np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32))
    one = trainer(result, data, tmp_path, "batch=8")
    assert all(np.isfinite(value) for value in step(one, data, 8).values())


def test_nothing_is_drawn_and_no_memory_is_taken() -> None:
    before = torch.get_rng_state()
    huge = ["linear 100000*100000*3", "adaptive_avg_pool 8", "linear 8*8*3 spectral_norm=true"]
    assert imported(model(generator={"layers": huge})).settings["size"] == 8
    imported(BALANCED)
    assert torch.equal(torch.get_rng_state(), before)


# The recipe.


def test_the_recipe_says_what_has_no_meaning(tmp_path: Path) -> None:
    result = imported(MODEL)
    text = result.text()
    head = text[: text.index("\n\nrecipe:")].splitlines()
    assert head[0] == "# Made from file.json, a HyperGAN configuration. What it does not say is that of 'vanilla'."
    for note in result.notes:
        assert head.count(f"#   {note.path}: {note.says}") == 1
    loud, quiet = (
        head.index("# What is not trained as HyperGAN would train it:"),
        head.index("# What has no meaning here and changes nothing:"),
    )
    assert loud < head.index("#   trainer.hooks[1]: there is no hook 'OnlineEWCTrainHook' here; left out") < quiet
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    assert parse_file(path) == {"recipe": "vanilla", **result.settings}
    assert "&" not in text  # no references from one part to another


def test_nothing_in_a_file_ends_a_comment(tmp_path: Path) -> None:
    odd = {"a\nseed: 5\u2028seed: 6": 1, "hooks": [{"class": "x\nseed: 7\x85seed: 8"}], "loss": {"class": "HingeLoss"}}
    result = convert(json.dumps(odd), "two\nseed: 9")
    path = tmp_path / "recipe.yaml"
    path.write_text(result.text(), encoding="utf-8")
    assert parse_file(path) == {"recipe": "vanilla", "loss": {"class": "hinge"}}


def test_nothing_is_imported_or_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text(
        "from pathlib import Path\nPath('sprung').touch()\n\nclass BalancedTrainer: ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    result = imported({"class": "class:trap.BalancedTrainer", "hooks": [{"class": "function:trap.system"}]})
    assert result.settings["balance"]["class"] == "balanced"
    assert "trap" not in sys.modules
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "last", "plain"),
    [
        ("class:hypergan.trainers.balanced_trainer.BalancedTrainer", "BalancedTrainer", "balanced"),
        ("function:a.GRADIENT_NORM_TRAIN_HOOK", "GRADIENT_NORM_TRAIN_HOOK", "gradientnorm"),
        ("MaxGpTrainHook", "MaxGpTrainHook", "maxgp"),
        ("TrainHook", "TrainHook", "trainhook"),
        ("", "", ""),
        (None, "", ""),
        (["x"], "", ""),
    ],
)
def test_names(name: Any, last: str, plain: str) -> None:
    assert last_name(name) == last
    assert key(name, "trainer", "trainhook") == plain


def test_components_without_a_class() -> None:
    result = imported(model(loss={"class": "HingeLoss"}, trainer={"d_optimizer": optimizer()}, hooks=[{}, 3]))
    assert warned(result) == {
        "trainer": "it has no class; the recipe's own balance is taken",
        "hooks[0]": "it has no class; left out",
        "hooks[1]": "3 is not an object; left out",
    }


def test_other_games_are_named() -> None:
    result = imported({"class": "class:hypergan.gans.aligned_gan.AlignedGAN", "loss": {"class": "HingeLoss"}})
    assert warned(result) == {
        "class": "there is no 'AlignedGAN' here: one generator plays one discriminator, as in a StandardGAN"
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "file.json: nothing in it has a meaning here"),
        ('{"a": 1}', r"nothing in it has a meaning here \(a: has no meaning here\)"),
        ('{"class": "x.FooTrainer"}', r"nothing in it has a meaning here \(there is no trainer 'FooTrainer' here"),
        ('{"class": "x.FooTrainHook"}', "there is no hook 'FooTrainHook' here; left out"),
        ("[1]", "file.json holds no object"),
        (
            '{"class": "torch.optim.Adam", "lr": 1, "weight_decay": -1}',
            "file.json: torch.optim.Adam refuses these options: Invalid weight_decay",
        ),
        (
            '{"class": "torch.optim.Adam", "lr": -1}',
            "file.json: lr is -1; a learning rate must be above 0, such as 0.001",
        ),
        (
            '{"class": "x.BalancedTrainer", "optimizer": {"class": "torch.optim.Adam", "betas": [2, 0]}}',
            "file.json: optimizer: torch.optim.Adam refuses these options: Invalid beta",
        ),
        (
            '{"class": "x.BalancedTrainer", "optimizer": {"class": "x.AdamOptimizer", "learn_rate": 0}}',
            "file.json: optimizer.learn_rate is 0; a learning rate must be above 0",
        ),
        (
            '{"hooks": [{"class": "x.InitializeAsAutoencoder", "encoder": {"layers": ["flatten", "linear 4"]},'
            ' "optimizer": {"class": "torch.optim.SGD", "lr": 0}}]}',
            r"file.json: hooks\[0\].optimizer.lr is 0; a learning rate must be above 0",
        ),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        imported(text)


# The text.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, -3e2, true, false, null, "b"]}', {"a": [1, 2.5, -300.0, True, False, None, "b"]}),
        ('{"a": [1, 2,], "b": {},}', {"a": [1, 2], "b": {}}),
        ('// one\n{"a": /* two\nlines */ 1} // three', {"a": 1}),
        ('{"url": "http://x/*y*/", "q": "\\"//\\u00e9\\n"}', {"url": "http://x/*y*/", "q": '"//é\n'}),
        ('{"//a": {"b": [1,]}, "c": 2}', {"c": 2}),
        ("[]", []),
        ('"a"', "a"),
        ("\r\n\t 7 ", 7),
    ],
)
def test_lenient_json(text: str, value: Any) -> None:
    document = read(text, "f")
    assert document.value == value
    assert json.dumps(document.value) == json.dumps(value)  # the same types
    assert not document.repeated


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1 "b": 2}', "line 1, column 9: ',' or '}' is expected, not '\"'"),
        ('{\n  "a": [1 2]\n}', "line 2, column 11: ',' or ']' is expected, not '2'"),
        ('{"a": }', "line 1, column 7: a value is expected, not '}'"),
        ('{"a" 1}', "line 1, column 6: ':' is expected, not '1'"),
        ("{a: 1}", "line 1, column 2: a name in double quotes, or '}' is expected, not 'a'"),
        ("{'a': 1}", "line 1, column 2: a name in double quotes, or '}' is expected, not \"'a'\""),
        ('{"a": 1', "line 1, column 8: ',' or '}' is expected, not the end of the file"),
        ('{"a": 1}}', "line 1, column 9: the end of the file is expected, not '}'"),
        ('{"a": NaN}', "line 1, column 7: a value is expected, not 'NaN'"),
        ('{"a": -Infinity}', "line 1, column 7: a value is expected, not '-Infinity'"),
        ('{"a": 1e999}', "line 1, column 7: the number is too large"),
        (f'{{"a": {"9" * 5000}}}', "line 1, column 7: the number is too large"),
        ('{"a": 01}', "line 1, column 7: a value is expected, not '01'"),
        ('{"a": 1.}', "line 1, column 7: a value is expected, not '1.'"),
        ('{"a": True}', "line 1, column 7: a value is expected, not 'True'"),
        ("{,}", "line 1, column 2: a name in double quotes, or '}' is expected, not ','"),
        ("[1,,2]", "line 1, column 4: a value is expected, not ','"),
        ('["a\nb"]', "line 1, column 4: the text is not closed here, or has a sign that a text in JSON cannot have"),
        ('["\\x"]', "line 1, column 3: the text is not closed here, or has a sign that a text in JSON cannot have"),
        ('["', "line 1, column 3: the text is not closed here, or has a sign that a text in JSON cannot have"),
        ("/* a", "line 1, column 1: the comment is never closed"),
        ("[" * 100, "line 1, column 66: more than 64 values are nested in each other"),
    ],
)
def test_what_is_not_json(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text, "f")
    assert str(error.value) == f"f is not JSON: {message}"


@pytest.mark.parametrize("text", ["", " \n// nothing"])
def test_an_empty_file(text: str) -> None:
    with pytest.raises(ConfigError, match="f is empty; give a HyperGAN configuration"):
        read(text, "f")


def test_names_that_are_given_again() -> None:
    text = '{"loss": {"class": "HingeLoss", "verbose": 1, "verbose": 1}, "hooks": 1, "hooks": []}'
    result = imported(text)
    assert warned(result) == {"hooks": "is given more than once; the last one counts"}
    assert [note.says for note in result.notes if note.path == "loss.verbose"] == [
        "is given more than once; the last one counts",
        "has no meaning here",
    ]


# The command line.


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "model.json").write_text(MODEL, encoding="utf-8")
    return tmp_path


def test_from_a_file_to_a_finished_run(poise: Callable[..., Any], here: Path) -> None:
    folder = here / "photos"
    folder.mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    done = poise("import-hypergan", "model.json", "--out", "recipe.yaml")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("model.json as a recipe: size, batch, z_dim, generator, discriminator, loss,")
    assert "warning: trainer.hooks[1]: there is no hook 'OnlineEWCTrainHook' here; left out" in lines
    assert "left out: hypergan_version: has no meaning here" in lines
    assert lines[-1] == "Wrote recipe.yaml. To train: poise train DATA --recipe recipe.yaml"
    loud = [line.startswith("warning: ") for line in lines[1:-1]]
    assert loud == sorted(loud, reverse=True)
    trained = json.loads(poise("train", folder, "--recipe", "recipe.yaml", "--steps", "2", "--json").stdout)
    assert trained["step"] == 2
    assert trained["nimg"] == 8


def test_json(poise: Callable[..., Any], here: Path) -> None:
    facts = json.loads(poise("import-hypergan", "model.json", "--out", "r.yaml", "--json").stdout)
    result = convert_file(here / "model.json")
    assert facts["recipe"] == "r.yaml"
    assert facts["file"] == "model.json"
    assert facts["settings"] == result.settings
    assert facts["notes"] == [note._asdict() for note in result.notes]


def test_no_file_is_written_over(poise: Callable[..., Any], here: Path) -> None:
    out = here / "r.yaml"
    out.write_text("mine")
    done = poise("import-hypergan", "model.json", "--out", "r.yaml", code=2)
    assert done.stderr == "error: r.yaml is there already; give another --out, or --force to write over it\n"
    assert out.read_text() == "mine"
    poise("import-hypergan", "model.json", "--out", "r.yaml", "--force")
    assert parse_file(out)["recipe"] == "vanilla"
    done = poise("import-hypergan", "model.json", "--out", "./model.json", "--force", code=2)
    assert "is the configuration itself" in done.stderr
    assert (here / "model.json").read_text(encoding="utf-8") == MODEL


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "error: bad.json is not JSON: line 1, column 2: "),
        (b'{"a": "\xff"}', "error: bad.json is not JSON: it is not text in UTF-8"),
        (b"{}", "error: bad.json: nothing in it has a meaning here"),
        (b'{"generator": {"layers": ["lin 4"]}}', "generator.layers[0], column 1: there is no op 'lin'"),
        (None, "error: bad.json cannot be read: No such file or directory"),
    ],
)
def test_bad_files(poise: Callable[..., Any], here: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (here / "bad.json").write_bytes(content)
    done = poise("import-hypergan", "bad.json", "--out", "r.yaml", code=2)
    assert words in done.stderr
    assert done.stdout == ""
    assert not (here / "r.yaml").exists()


def test_a_recipe_that_cannot_be_written(poise: Callable[..., Any], here: Path) -> None:
    done = poise("import-hypergan", "model.json", "--out", "nowhere/r.yaml", code=2)
    assert done.stderr.startswith("error: nowhere/r.yaml cannot be written: No such file or directory")


def test_a_mark_of_byte_order_is_no_sign(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"class": "HingeLoss"}')
    assert convert_file(path).settings == {"loss": {"class": "hinge"}}


def test_errors_are_poise_errors() -> None:
    with pytest.raises(PoiseError):
        imported("{")
