"""Constraints: what they leave of a network's weights."""

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import poise.constraints
from poise.constraints import CONSTRAINTS, Constrained, Constraint, clip, spectral_norm
from poise.errors import ConfigError
from poise.schedules import Linear, Schedule


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3 * 4 * 4, 2),
    )


def singular_values(layer: nn.Module) -> Tensor:
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    return torch.linalg.svdvals(weight.flatten(1))


def normalized(module: nn.Module) -> list[str]:
    return [name for name, layer in module.named_modules() if parametrize.is_parametrized(layer, "weight")]


# What holds for all of them.


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_prepared_and_projected_networks_train(name: str) -> None:
    constraint = CONSTRAINTS[name]
    assert isinstance(constraint, Constraint)
    module = network()
    constraint.prepare(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = [weight.detach().clone() for weight in module.parameters()]
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(5, 1, 4, 4)).square().mean().backward()
        optimizer.step()
        constraint.project(module, 0.0)
    after = list(module.parameters())
    assert len(after) == len(before)
    assert all(weight.requires_grad and weight.isfinite().all() for weight in after)
    assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_they_are_values(name: str) -> None:
    constraint = CONSTRAINTS[name]
    assert getattr(poise.constraints, name)() == constraint
    assert copy.deepcopy(constraint) == constraint == pickle.loads(pickle.dumps(constraint))
    assert Constrained(constraint) == (constraint, "D", 1)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_prepared_network_takes_the_state_of_another(name: str) -> None:
    one, other = network(), network()
    for module in (one, other):
        CONSTRAINTS[name].prepare(module)
    one(torch.randn(5, 1, 4, 4))
    other.load_state_dict(one.state_dict())
    samples = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(other.eval()(samples), one.eval()(samples), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: clip(0.0), "limit is 0.0; it must be above 0 and finite"),
        (lambda: clip(-1), "limit is -1; it must be above 0 and finite"),
        (lambda: clip(math.nan), "limit is nan; it must be above 0 and finite"),
        (lambda: clip(math.inf), "limit is inf; it must be above 0 and finite"),
        (
            lambda: clip(Linear(from_=1.0, to=0.0, end=10.0)),
            "limit is scheduled down to 0.0 and up to 1.0; it must be above 0 and finite",
        ),
        (lambda: spectral_norm(n_power_iterations=0), "n_power_iterations is 0; it must be at least 1"),
        (lambda: spectral_norm("fc"), r"layers is the text 'fc'; give a list of names, such as \['fc'\]"),
    ],
)
def test_wrong_options_are_refused(build: Callable[[], Constraint], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


# Clipping.


def test_clip() -> None:
    layer = nn.Linear(3, 1)
    layer.weight.data = torch.tensor([[-0.5, 0.02, 0.5]])
    layer.bias.data = torch.tensor([7.0])
    clip(0.1).prepare(layer)
    assert layer.bias.item() == 7.0
    clip(0.1).project(layer, 0.0)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[-0.1, 0.02, 0.1]]))
    torch.testing.assert_close(layer.bias.data, torch.tensor([0.1]))


def test_clip_takes_every_trainable_weight_and_nothing_else() -> None:
    module = network()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.detach().clone()
    module[1].running_var.fill_(3.0)
    clip(0.001).project(module, 0.0)
    assert torch.equal(module[0].weight, frozen)
    assert module[1].running_var.eq(3.0).all()
    assert module[1].weight.eq(0.001).all()  # a batch norm's gains too
    assert max(weight.detach().abs().max() for weight in module.parameters() if weight.requires_grad) <= 0.001
    clip().project(nn.ReLU(), 0.0)


def test_clip_keeps_the_optimizers_weights() -> None:
    layer = nn.Linear(3, 1)
    weight = layer.weight
    clip().project(layer, 0.0)
    assert layer.weight is weight
    assert weight.requires_grad
    assert weight.is_leaf


def test_clip_with_a_schedule() -> None:
    layer = nn.Linear(1, 1, bias=False)
    constraint = clip(Linear(from_=1.0, to=0.25, end=9.0))
    for kimg, expected in ((0.0, 1.0), (6.0, 0.5), (12.0, 0.25)):
        nn.init.constant_(layer.weight, 9.0)
        constraint.project(layer, kimg)
        assert layer.weight.item() == expected


def test_clip_with_a_schedule_that_cannot_be_looked_through() -> None:
    class Falling(Schedule):
        def __call__(self, kimg: float) -> float:
            return 12.0 - kimg

    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.25)
    with pytest.raises(ConfigError, match=r"clip's limit is 0.0 at 12 kimg; it must be above 0 at all times"):
        clip(Falling()).project(layer, 12.0)
    assert layer.weight.item() == 0.25


# Spectral normalization.


def test_spectral_norm_of_every_layer() -> None:
    layers = [nn.Linear(6, 4), nn.Conv1d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(2, 5, 3), nn.BatchNorm1d(4)]
    module = nn.Sequential(*layers)
    spectral_norm(n_power_iterations=50).prepare(module)
    assert normalized(module) == ["0", "1", "2", "3"]
    for layer in layers[:4]:
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(7)
        torch.testing.assert_close(singular_values(layer).max(), torch.tensor(1.0), atol=1e-3, rtol=0)


def test_spectral_norm_of_named_layers() -> None:
    module = network()
    plain = module[0].weight.detach().clone()
    spectral_norm(["4", "4"]).prepare(module)
    assert normalized(module) == ["4"]
    assert len(module[4].parametrizations.weight) == 1
    assert torch.equal(module[0].weight, plain)


def test_spectral_norm_of_a_layer_of_ones_own() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))

    module = nn.ModuleDict({"own": Own(), "fc": nn.Linear(2, 1)})
    spectral_norm(["own"], n_power_iterations=50).prepare(module)
    torch.testing.assert_close(module["own"].weight.detach(), torch.tensor([[0.75, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("names", [(), ("0", "1")])
def test_spectral_norm_is_of_what_multiplies(names: tuple[str, ...]) -> None:
    """A scale at run time, as of an equalized learning rate, is divided out with the rest of the weight."""

    class Scaled(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))
            self.weight_scale = scale

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.weight_scale * self.weight).T

    torch.manual_seed(0)
    module = nn.Sequential(Scaled(0.01), Scaled(7.0), nn.ReLU())
    spectral_norm(names, n_power_iterations=50).prepare(module)
    assert normalized(module) == ["0", "1"]
    for layer in module[:2]:
        norm = torch.linalg.matrix_norm(layer(torch.eye(6)).detach(), 2)
        torch.testing.assert_close(norm, torch.tensor(1.0), atol=1e-3, rtol=0)


def test_spectral_norm_iterates_as_often_as_it_is_told() -> None:
    for count in (1, 3):
        layer = nn.Linear(3, 2)
        spectral_norm(n_power_iterations=count).prepare(layer)
        assert layer.parametrizations.weight[0].n_power_iterations == count


def older(layer: nn.Module) -> nn.Module:
    return nn.utils.spectral_norm(layer)


@pytest.mark.parametrize("normalize", [parametrizations.spectral_norm, older])
def test_a_layer_is_normalized_once(normalize: Callable[[nn.Module], nn.Module]) -> None:
    module = nn.Sequential(normalize(nn.Linear(3, 3)), nn.Linear(3, 1))
    spectral_norm().prepare(module)
    names = set(module.state_dict())
    spectral_norm().prepare(module)
    assert set(module.state_dict()) == names
    assert parametrize.is_parametrized(module[1], "weight")
    for name in ("0", "1"):
        with pytest.raises(ConfigError, match=f"layer '{name}': it is normalized already; leave it out of layers"):
            spectral_norm([name]).prepare(module)


def test_spectral_norm_on_top_of_another_parametrization() -> None:
    layer = parametrizations.orthogonal(nn.Linear(4, 4))
    spectral_norm().prepare(layer)
    assert len(layer.parametrizations.weight) == 2
    torch.testing.assert_close(singular_values(layer), torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["fc2"], r"layer 'fc2': the network has no such layer \(did you mean 'fc'\?\)"),
        (["fc", "relu"], r"layer 'relu': a ReLU has no weight matrix \(known: fc\)"),
        (["norm"], r"layer 'norm': a BatchNorm1d has no weight matrix \(known: fc\)"),
    ],
)
def test_layers_that_cannot_be_normalized(layers: list[str], message: str) -> None:
    module = nn.Sequential()
    module.add_module("fc", nn.Linear(3, 3))
    module.add_module("relu", nn.ReLU())
    module.add_module("norm", nn.BatchNorm1d(3))
    with pytest.raises(ConfigError, match=message):
        spectral_norm(layers).prepare(module)
    assert normalized(module) == []  # nothing is half done


def test_a_network_with_nothing_to_normalize() -> None:
    with pytest.raises(ConfigError, match="found no linear and no convolutional layer in the network: name the layers"):
        spectral_norm().prepare(nn.Sequential(nn.ReLU()))


def test_spectral_norm_of_a_weight_that_is_0() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 1, 1))
    nn.init.zeros_(network[1].weight)
    with pytest.raises(ConfigError, match="spectral_norm cannot normalize a Conv2d whose weight begins at 0"):
        spectral_norm().prepare(network)


def test_spectral_norm_of_embeddings() -> None:
    embedding = nn.Sequential(nn.Embedding(4, 3))
    spectral_norm().prepare(embedding)
    embedding(torch.arange(4))
    assert torch.linalg.matrix_norm(embedding[0].weight, 2).item() == pytest.approx(1, abs=0.2)
