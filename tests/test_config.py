"""Configs: round trips, overrides, and messages that name the field and the way out."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import pytest
import torch
import yaml

from poise.balance import Alternating, Simultaneous
from poise.config import Config, build, differences, dump, override, parse, parse_file
from poise.config.numbers import mistakes
from poise.data import load
from poise.errors import ConfigError
from poise.recipes import resolve
from poise.trainer import make_fabric

MINIMAL: dict[str, Any] = {"data": "digits", "steps": 10, "generator": "mlp", "discriminator": "mlp"}
BASE = parse(MINIMAL).model_dump(mode="json", by_alias=True)


def config(*assignments: str, **fields: Any) -> Config:
    return parse(override(BASE | fields, assignments))


def trainer(*assignments: str, **fields: Any) -> Any:
    return build(config(*assignments, **fields), (2,), make_fabric("cpu"))


def test_text_round_trip(tmp_path: Any) -> None:
    one = config(
        "g_optimizer.lr=1e-5", "penalties.r1=0.25", "ema.ramp_up=null", "balance.d_steps=5", "balance.class=alternating"
    )
    path = tmp_path / "config.yaml"
    path.write_text(dump(one))
    assert parse(parse_file(path)) == one


@pytest.mark.parametrize(
    "name", ["1e5", "2E-4", "0x1F", "017", "1_000", "1:30", "on", "null", "~", "1.5", "2026-11-22"]
)
def test_names_that_read_like_values_stay_names(name: str, tmp_path: Any) -> None:
    one = config(data=name)
    path = tmp_path / "config.yaml"
    path.write_text(dump(one))
    assert parse(parse_file(path)) == one
    assert yaml.safe_load(path.read_text())["data"] == name


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().batch = 3


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("batch=128", "batch", 128),
        ("g_optimizer.lr=1e-4", "g_optimizer.lr", 1e-4),
        ("g_optimizer.lr=2E-4", "g_optimizer.lr", 2e-4),
        ("d_optimizer.betas=[0, 0.9]", "d_optimizer.betas", (0.0, 0.9)),
        ("d_optimizer.class=RMSprop", "d_optimizer.class_", "RMSprop"),
        ("g_optimizer=SGD", "g_optimizer.class_", "SGD"),
        ("loss=hinge", "loss.class_", "hinge"),
        ("balance=simultaneous", "balance.class_", "simultaneous"),
        ("ema.half_life_kimg=5", "ema.half_life_kimg", 5.0),
        ("ema=none", "ema.half_life_kimg", 0.0),
        ("ema=20", "ema.half_life_kimg", 20.0),
        ("penalties=none", "penalties", {}),
        ("kimg=2.5", "kimg", 2.5),
        ("flip=true", "flip", True),
        ("seed=10_000", "seed", 10_000),
        ("batch=6.4e1", "batch", 64),
        ("seed=0x10", "seed", 16),
        ("kimg=1_000.5", "kimg", 1000.5),
    ],
)
def test_assignments(assignment: str, path: str, value: Any) -> None:
    found: Any = config(assignment)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_an_option_of_a_part_given_by_its_name() -> None:
    assert config("loss.label_smoothing=0.1").loss.options == {"label_smoothing": 0.1}
    assert config("penalties.r1.weight=3", "penalties.r1.every=4").penalties["r1"].every == 4


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("bach=3", r"there is no setting 'bach' \(did you mean 'batch'\?\)"),
        ("ema.halflife_kimg=3", r"there is no setting 'ema.halflife_kimg' \(did you mean 'half_life_kimg'\?\)"),
        ("penalties.r1.wieght=3", r"penalties.r1.weight is missing; is it meant by 'wieght'\?"),
        ("batch=0", "batch is 0: input should be greater than 0"),
        ("batch=many", "^batch is 'many': input should be a number or auto$"),
        ("batch=-1", "^batch is -1: input should be greater than 0$"),
        ("penalties.r1.weight=-1", "penalties.r1.weight is -1: input should be greater than or equal to 0"),
        ("g_optimizer.lr=-1", "g_optimizer.lr is -1: input should be greater than 0"),
        ("seed=-1", "seed is -1"),
        ("generator=3", "generator is .*: give a name, or a mapping with its options"),
        ("evaluate.metric=fud", "evaluate.metric is 'fud'"),
        ("generator={width: 3}", "generator.class is missing"),
        ("batch=1:30", "batch is '1:30': input should be a number or auto"),
        ("batch=true", "batch is True: input should be a number, not true or false"),
        ('z_dim="3"', "z_dim is '3': input should be a number, not text"),
        ("seed=off", "seed is False: input should be a number, not true or false"),
        ("g_optimizer.lr=true", "g_optimizer.lr is True: input should be a number, not true or false"),
        ("g_optimizer.betas=[true, 0.9]", "g_optimizer.betas.0 is True: input should be a number"),
        ("top_k=yes", "top_k is True: input should be a number, not true or false"),
        ("ema=true", "ema.half_life_kimg is True: input should be a number, not true or false"),
        ("penalties.r1.weight=true", "penalties.r1.weight is True: input should be a number, not true or false"),
        ("penalties={r1: {weight: 1, every: true}}", "penalties.r1.every is True: input should be a number"),
        ("kimg=1:30.5", "kimg is '1:30.5': input should be a number, not text"),
        ("steps=null", "a run needs an end: give steps or kimg"),
        ("kimg=.inf", "kimg is inf: input should be a finite number"),
        ("seed=2020-13-45", "is not YAML; quote it"),
        ("batch=!!int abc", "is not YAML; quote it"),
        ("data=x", "'data' is not to be set; give the data as DATA"),
        ("recipe=wgan-gp", "'recipe' is not to be set; give --recipe"),
        ("fingerprint=abc", "'fingerprint' is not to be set"),
        ("nothing", "write it as path=value"),
        ("a..b=1", "write it as path=value"),
        ("loss={", "is not YAML; quote it"),
    ],
)
def test_wrong_settings(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(assignment)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("loss=hing", r"loss: there is no loss 'hing' \(did you mean 'hinge'\?\)"),
        ("loss.smoothing=1", r"loss: vanilla has no option 'smoothing' \(did you mean 'label_smoothing'\?\)"),
        ("loss.label_smoothing=2", "loss: label_smoothing is 2.0; it must be at least 0 and below 1"),
        ("loss.label_smoothing=high", "loss.label_smoothing is 'high': input should be a number, not text"),
        ("generator=dcgna", r"there is no generator 'dcgna' \(did you mean 'dcgan'\?\)"),
        ("generator.width=0", "generator: width is 0; it must be at least 1"),
        ("generator.depth=-1", "generator: depth is -1; it must be at least 0"),
        ("generator.initializer=(normal 0 -1)", "generator: initializer \\(normal 0 -1\\): normal expects std >= 0"),
        ("generator.width=1000000000", "generator: "),
        ("g_optimizer.class=LBFGS", "there is no class of torch.optim 'LBFGS'"),
        ("g_optimizer.class=Muon", "g_optimizer: Muon refuses these options or these weights"),
        ("generator.widht=3", r"generator: mlp has no option 'widht' \(did you mean 'width'\?\)"),
        ("balance=alternate", "there is no balance 'alternate'"),
        ("balance={class: alternating, d_steps: 0}", "balance: d_steps is 0; it must be at least 1"),
        ("penalties={r1: {weight: 1, evry: 2}}", r"penalties.r1: r1 has no option 'evry' \(did you mean 'every'\?\)"),
        ("penalties={wgan_gp: {weight: 1, target: high}}", "penalties.wgan_gp.target is 'high'"),
        ("constraints={clpi: {}}", r"constraints.clpi: there is no constraint 'clpi' \(did you mean 'clip'\?\)"),
        (
            "g_optimizer.lr={class: cosine, from: 1, to: 0, start: 20, end: 10}",
            "g_optimizer.lr: end is 10 kimg, start is 20",
        ),
        ("g_optimizer.lr={class: cosine, from: 1, end: 2}", "g_optimizer.lr: cosine needs to"),
        (
            "g_optimizer.lr={class: cosign, from: 1}",
            r"g_optimizer.lr: there is no schedule 'cosign' \(did you mean 'cos",
        ),
        ("penalties={r1: {weight: {class: linear, from: 1, to: 0, end: -1}}}", "penalties.r1.weight: end is -1 kimg"),
        (
            "g_optimizer.lr={class: linear, from: 1, to: -1, end: 5}",
            r"g_optimizer: Adam refuses .*: Invalid learning rate: -1.0 \(lr is scheduled down to -1.0\)",
        ),
        (
            "d_optimizer.betas=[{class: linear, from: 0, to: 1.5, end: 0.1}, 0.9]",
            r"d_optimizer: Adam refuses .*: Invalid beta.*: 1.5 \(betas is scheduled up to \(1.5, 0.9\)\)",
        ),
        (
            "g_optimizer.weight_decay={class: linear, from: 0, to: -1, end: 0.1}",
            r"g_optimizer: Adam refuses .*: Invalid weight_decay value: -1.0 \(weight_decay is scheduled down",
        ),
        (
            "constraints.clip={limit: {class: linear, from: 1, to: -1, end: 0.2}}",
            "constraints.clip: limit is scheduled down to -1.0 and up to 1.0; it must be above 0 and finite",
        ),
        (
            "penalties={r1: {weight: {class: step, values: [1, -2], at: [5]}}}",
            "penalties.r1.weight is scheduled down to -2.0 and up to 1.0; it must be at least 0",
        ),
        (
            "top_k={class: linear, from: 1, to: 0, end: 5}",
            "top_k is scheduled down to 0.0 and up to 1.0; it is a share",
        ),
        (
            "ema={half_life_kimg: {class: linear, from: 1, to: -1, end: 5}}",
            "ema: half_life_kimg is scheduled down to -1.0 and up to 1.0; it must be at least 0",
        ),
        ("d_optimizer.wrap=lookahed", r"d_optimizer.wrap.0: there is no wrapper 'lookahed' \(did you mean 'lookahead'"),
        ("d_optimizer.wrap={class: lookahead, kk: 2}", "d_optimizer.wrap.0: lookahead has no option 'kk'"),
        (
            "warmup={steps: 5, encoder: ['linear 3']}",
            r"warmup.encoder: it gives \(3,\) for each sample, and z_dim is 64",
        ),
        (
            "generator=['linear 3']",
            r"generator: it makes samples of shape \(3,\), the data has \(2,\); change its last",
        ),
        ("generator=['linear 2 bais=false']", "generator: layer 1, column 10: linear has no option 'bais'"),
        (
            "generator.initializer=orthogonl",
            r"generator: initializer, column 1: there is no initializer 'orthogonl' \(did",
        ),
        (
            "generator={class: progressive, grow_kimg: abc}",
            "generator.grow_kimg is 'abc': input should be a number, not text",
        ),
        ("loss=realness", "discriminator: realness over 10 outcomes needs logits of shape"),
        (
            "penalties={feature_matching: {weight: 1, layers: [lst]}}",
            "penalties.feature_matching.layers: the discriminator has no layer 'lst'",
        ),
        (
            "warmup={steps: 1, encoder: ['linear 4', 'minibatch_stddev group=5', 'linear 3']}",
            "batch is [0-9]+, which does not fit the warmup.encoder: minibatch_stddev has groups of 5",
        ),
        (
            "penalties.feature_matching=1",
            "penalties.feature_matching.layers: none is named, and the discriminator returns no features beside its",
        ),
        ("loss={class: lsgan, a: .inf}", "loss.a is inf: input should be a finite number"),
        ("loss={class: lsgan, a: true}", "loss.a is True: input should be a number, not true or false"),
        ("balance={class: alternating, d_steps: true}", "balance.d_steps is True: input should be a number, not true"),
        ("balance={class: alternating, d_steps: '2'}", "balance.d_steps is '2': input should be a number, not text"),
        ("g_optimizer.wrap={class: lookahead, k: '3'}", "g_optimizer.wrap.0.k is '3': input should be a number"),
        ("g_optimizer.eps=nan", "g_optimizer.eps is 'nan': input should be a number, not text"),
        ("g_optimizer.eps=.inf", "g_optimizer.eps is inf: input should be a finite number"),
        ("g_optimizer.weight_decay=true", "g_optimizer.weight_decay is True: input should be a number, not true or"),
        ("g_optimizer={class: Rprop, etas: [0.5, true]}", "g_optimizer.etas.1 is True: input should be a number"),
        (
            "g_optimizer.lr={class: linear, from: true, to: 0, end: 5}",
            "g_optimizer.lr.from is True: input should be a number, not true or false",
        ),
        (
            "g_optimizer.lr={class: step, values: [1, yes], at: [5]}",
            "g_optimizer.lr.values.1 is True: input should be a number, not true or false",
        ),
        ("constraints.clip={limit: true}", "constraints.clip.limit is True: input should be a number, not true or"),
        ("generator.width=true", "generator.width is True: input should be a number, not true or false"),
        ("penalties.r3=1", r"penalties.r3: there is no penalty 'r3'"),
        ("g_optimizer.class=Adan", r"g_optimizer: there is no class of torch.optim 'Adan' \(did you mean 'Adam'\?\)"),
        ("g_optimizer.momentum=0.9", "g_optimizer: Adam has no option 'momentum'"),
        ("d_optimizer.betas=[2, 3]", "d_optimizer: Adam refuses these options or these weights: Invalid beta"),
    ],
)
def test_wrong_parts(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trainer(assignment)


@pytest.mark.parametrize(
    ("given", "annotation", "places"),
    [
        (True, int, [""]),
        (True, bool | int, []),
        (1, float, []),
        ("3", float | None, [""]),
        ("3", int | str, []),
        ("fan_in", Literal["fan_in"] | float, []),
        (math.inf, Annotated[float, "finite"], [""]),
        (["a", 1.0, True], Sequence[float], [".0", ".2"]),
        ([[1, "2"]], tuple[tuple[int, int], ...], [".0.1"]),
        ("abs", Callable[[float], float], []),
        (True, Any, []),
        ("3", Any | int, []),
        (["a"], Sequence[str], []),
    ],
)
def test_what_is_no_number_where_one_belongs(given: Any, annotation: Any, places: list[str]) -> None:
    assert [it.place for it in mistakes(given, annotation)] == places


def test_features_of_layers_that_another_penalty_names_will_do() -> None:
    both = "penalties={a: {class: feature_matching, weight: 1}, b: {class: feature_matching, weight: 1, layers: ['1']}}"
    built = trainer(both)
    assert built.step(torch.randn(8, 2))["a_loss"] > 0


def test_build() -> None:
    built = trainer(
        "loss=wasserstein",
        "penalties.wgan_gp=10",
        "balance={class: alternating, d_steps: 5}",
        "g_optimizer={class: RMSprop, lr: 5e-5}",
        "generator.width=32",
        "z_dim=3",
    )
    assert isinstance(built.balance, Alternating)
    assert built.balance.d_steps == 5
    assert built.penalties["wgan_gp"].weight == 10
    saved = built.state_dict()["g_optimizer"]
    assert saved["class"] == "RMSprop"
    assert saved["optimizer"]["param_groups"][0]["lr"] == 5e-5
    assert built.generator[0].weight.shape == (32, 3)
    assert isinstance(trainer("balance=simultaneous").balance, Simultaneous)


@pytest.mark.parametrize("network", ["mlp", "{class: layers, layers: ['linear 64', relu, 'linear 2']}"])
def test_an_initializer_for_any_network(network: str) -> None:
    built = trainer(f"generator={network}", "generator.initializer=(normal 0 0.5)")
    weight = next(it for it in built.generator.modules() if isinstance(it, torch.nn.Linear)).weight
    assert weight.std().item() == pytest.approx(0.5, rel=0.1)


def test_every_optimizer_of_torch_can_be_named() -> None:
    unfit = {"LBFGS", "SparseAdam", "Muon"}  # want a closure, sparse gradients, matrices only
    names = {name for name, it in vars(torch.optim).items() if isinstance(it, type) and name[0].isupper()}
    for name in sorted(names - unfit - {"Optimizer"}):
        built = trainer(f"g_optimizer={{class: {name}, lr: 1e-3}}", f"d_optimizer={{class: {name}, lr: 1e-3}}")
        built.step(torch.randn(8, 2))


def test_initial_weights_follow_from_the_seed() -> None:
    torch.manual_seed(1)
    one = trainer().generator[0].weight
    torch.manual_seed(2)
    assert torch.equal(one, trainer().generator[0].weight)
    assert not torch.equal(one, trainer("seed=1").generator[0].weight)


def test_differences() -> None:
    falling = "d_optimizer.lr={class: cosine, from: 1e-3, to: 0.0}"
    old, new = config(), config("g_optimizer.lr=1e-3", "steps=20", "penalties.r1=1", falling)
    assert differences(old, new, ignore=("steps",)) == [
        "penalties.r1.class: none -> r1",
        "penalties.r1.weight: none -> 1.0",
        "penalties.r1.every: none -> 1",
        "g_optimizer.lr: 0.0002 -> 0.001",
        "d_optimizer.lr: 0.0002 -> {class: cosine, from: 0.001, to: 0.0}",
    ]


def test_a_recipe_file_lies_over_its_recipe_field_by_field(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: wgan-gp\ng_optimizer: {lr: 3e-4}\ndiscriminator: {class: dcgan, width: 32}\nsteps: 5\n")
    one = resolve(load("digits"), str(path))
    assert one.g_optimizer.options == {"lr": 3e-4, "betas": (0.0, 0.9)}
    assert one.discriminator.options == {"norm": "none", "width": 32}
    assert one.penalties.keys() == {"wgan_gp"}
    assert (one.steps, one.kimg) == (5, None)
    path.write_text("penalties: {r1: 3}")
    assert {name: it.weight for name, it in resolve(load("digits"), str(path)).penalties.items()} == {"r1": 3}


def test_ends_given_together_both_hold() -> None:
    one = resolve(load("digits"), None, {"kimg": 1.0}, ["steps=5"])
    assert (one.steps, one.kimg) == (5, 1.0)
    assert resolve(load("digits"), None, {}, ["steps=5"]).kimg is None


def test_a_new_class_brings_its_own_defaults() -> None:
    one = config("g_optimizer.momentum=0.5", "g_optimizer.class=RMSprop", g_optimizer={"lr": 0.01, "betas": [0.0, 0.9]})
    assert one.g_optimizer.options == {"lr": 0.01, "momentum": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: [1", "is not YAML"), ("- 1", "holds no settings"), (None, "cannot be read: No such file")],
)
def test_files(tmp_path: Any, content: str | None, words: str) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=rf"recipe.yaml {words}"):
        parse_file(path)


def test_a_place_of_a_list_can_be_set() -> None:
    one = config("g_optimizer.betas=[0.5, 0.999]", "g_optimizer.betas.0=0.25")
    assert one.g_optimizer.betas == (0.25, 0.999)
    with pytest.raises(ConfigError, match=r"g_optimizer\.betas is "):
        config("g_optimizer.betas=[0.5, 0.999]", "g_optimizer.betas.2=0.25")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("batch: 8\nz_dim: 2\nbatch: 16\n", "line 3: 'batch' is there twice, first in line 1"),
        ("loss: {class: hinge, class: vanilla}\n", "line 1: 'class' is there twice, first in line 1"),
    ],
)
def test_a_file_that_says_one_thing_twice_is_refused(tmp_path: Any, content: str, words: str) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        parse_file(path)
