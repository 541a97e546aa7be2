"""Networks of class labels: contracts of all presets that take them, each layer by hand, and what is refused."""

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from poise.errors import ConfigError, ShapeError
from poise.models import LAYERS, PRESETS, Conditional, build, classes_of, recompute_, spectral_norm_, summary
from poise.models.conditional import LABELS, ClassJoined, ConditionalBatchNorm2d, Projection

SHAPE = (3, 8, 8)
LABELLED = torch.tensor([0, 2, 1, 2, 0])

GENERATORS: dict[str, Any] = {
    "mlp": partial(PRESETS["mlp"].generator, 6, SHAPE, width=8),
    "dcgan": partial(PRESETS["dcgan"].generator, 6, SHAPE, width=4),
    "dcgan, no norm": partial(PRESETS["dcgan"].generator, 6, SHAPE, width=4, norm="none"),
    "resnet": partial(PRESETS["resnet"].generator, 6, SHAPE, width=4),
    "resnet, no norm": partial(PRESETS["resnet"].generator, 6, SHAPE, width=4, norm="none"),
    "r3gan": partial(PRESETS["r3gan"].generator, 6, SHAPE, width=4),
    "layers": partial(LAYERS.generator, 6, SHAPE, ["linear 8", "relu", "linear 8*8*3", "tanh"]),
}

DISCRIMINATORS: dict[str, Any] = {
    "mlp": partial(PRESETS["mlp"].discriminator, SHAPE, width=8),
    "mlp, no hidden layer": partial(PRESETS["mlp"].discriminator, SHAPE, depth=0),
    "dcgan": partial(PRESETS["dcgan"].discriminator, SHAPE, width=4, norm="none"),
    "dcgan, spectral norm": partial(PRESETS["dcgan"].discriminator, SHAPE, width=4, norm="none", spectral_norm=True),
    "resnet": partial(PRESETS["resnet"].discriminator, SHAPE, width=4),
    "resnet, spectral norm": partial(PRESETS["resnet"].discriminator, SHAPE, width=4, spectral_norm=True),
    "r3gan": partial(PRESETS["r3gan"].discriminator, SHAPE, width=4),
    "layers": partial(LAYERS.discriminator, SHAPE, ["conv 4 stride=2 name=features", "lrelu", "linear 1"]),
    "layers, one": partial(LAYERS.discriminator, SHAPE, ["equal_linear 1"]),
}

NETWORKS = {
    **{f"G {name}": it for name, it in GENERATORS.items()},
    **{f"D {name}": it for name, it in DISCRIMINATORS.items()},
}


def made(name: str, classes: int = 3, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A network, and what it takes beside labels."""
    torch.manual_seed(seed)
    network = NETWORKS[name](classes=classes)
    return network, torch.randn(5, *((6,) if name.startswith("G") else SHAPE))


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_gradients(name: str) -> None:
    network, x = made(name)
    assert classes_of(network) == network.classes == 3
    y = network(x, LABELLED)
    assert y.shape == (5, *(SHAPE if name.startswith("G") else (1,)))
    y.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_without_classes_nothing_is_there(name: str) -> None:
    """No labels, and the very modules, names and weights of a network that was not asked."""
    network, x = made(name, classes=0)
    torch.manual_seed(0)
    other = NETWORKS[name]()
    assert classes_of(network) == 0
    assert repr(network) == repr(other)
    assert not any(isinstance(part, Conditional | ClassJoined | Projection) for part in network.modules())
    states = network.state_dict(), other.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert torch.equal(network.eval()(x), other.eval()(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_labels_matter_and_only_ones_own(name: str) -> None:
    network, x = made(name)
    network.eval()
    y = network(x, LABELLED)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, ConditionalBatchNorm2d):  # which begin alike for all classes
                part.gain.copy_(torch.rand_like(part.gain) + 0.5)
    y = network(x, LABELLED)
    other = network(x, torch.tensor([0, 2, 1, 2, 1]))
    torch.testing.assert_close(other[:4], y[:4])
    assert not torch.allclose(other[4], y[4])


@pytest.mark.parametrize("name", NETWORKS)
def test_they_can_be_copied_and_restored(name: str) -> None:
    network, x = made(name)
    network(x, LABELLED)
    y = network.eval()(x, LABELLED)
    assert torch.equal(deepcopy(network)(x, LABELLED), y)
    other = made(name, seed=1)[0].eval()
    assert not torch.equal(other(x, LABELLED), y)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x, LABELLED), y)


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_autocast(name: str) -> None:
    network, x = made(name)
    y = network.eval()(x, LABELLED)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x, LABELLED)
    torch.testing.assert_close(rounded.float(), y, rtol=0.05, atol=0.05 * y.abs().max().item())


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_input_gradients_have_gradients(name: str) -> None:
    network, x = made(f"D {name}")
    network.double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn_like(weight)
    x = x.double()[:2, :, :, :].requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: network(x, LABELLED[:2]).sin(), x)


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_as_one_program(name: str) -> None:
    network, x = made(name)
    network.eval()

    def gradient(x: Tensor, labels: Tensor) -> Tensor:
        return torch.func.grad(lambda x: network(x, labels).sin().sum())(x)

    torch.compiler.reset()  # PyTorch keeps only eight programs for one piece of code
    compiled = torch.compile(gradient, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, LABELLED), gradient(x, LABELLED))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_summary_counts_everything(name: str) -> None:
    network, x = made(name)
    rows = summary(network, x.shape[1:])
    assert sum(row.parameters for row in rows) == sum(weight.numel() for weight in network.parameters())
    assert sum(row.cost for row in rows) > 0


@pytest.mark.parametrize("name", ["G dcgan", "G resnet", "D resnet, spectral norm", "D r3gan"])
def test_computed_again(name: str) -> None:
    """Activation checkpointing changes neither what comes out, nor gradients, nor what the network keeps."""
    plain, x = made(name)
    again = deepcopy(plain)
    recompute_(again)
    for network in (plain, again):
        network(x, LABELLED).sin().sum().backward()
    for (key, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=key)
    assert all(torch.equal(one, other) for one, other in zip(plain.buffers(), again.buffers(), strict=True))
    with torch.no_grad():
        assert torch.equal(plain.eval()(x, LABELLED), again.eval()(x, LABELLED))


# The layers, by hand.


def test_joined_latents() -> None:
    layer, z = ClassJoined(3, 4), torch.randn(5, 2)
    y = layer(z, {LABELS: LABELLED})
    assert torch.equal(y[:, :2], z)
    assert torch.equal(y[:, 2:], layer.vectors.weight[LABELLED])
    torch.manual_seed(0)
    assert ClassJoined(100, 100).vectors.weight.std().item() == pytest.approx(1, abs=0.05)


def test_conditional_batch_norm() -> None:
    layer, x = ConditionalBatchNorm2d(3, 4), torch.randn(5, 4, 2, 2)
    torch.testing.assert_close(layer(x, {LABELS: LABELLED}), batch_norm(x, None, None, training=True))
    nn.init.normal_(layer.gain)
    nn.init.normal_(layer.bias)
    y = layer(x, {LABELS: LABELLED})
    normal = batch_norm(x, None, None, training=True)
    for index, label in enumerate(LABELLED):
        expected = layer.gain[label][:, None, None] * normal[index] + layer.bias[label][:, None, None]
        torch.testing.assert_close(y[index], expected)


@pytest.mark.parametrize("outputs", [1, 2])
def test_projection(outputs: int) -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, outputs))
    layer, x = Projection(head, 12, outputs, 3), torch.randn(5, 3, 2, 2)
    vectors = layer.vectors.weight.reshape(3, outputs, 12)
    expected = head(x) + torch.einsum("nof,nf->no", vectors[LABELLED], x.flatten(1))
    torch.testing.assert_close(layer(x, {LABELS: LABELLED}), expected)


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet", "r3gan"])
def test_several_outputs(name: str) -> None:
    network = PRESETS[name].discriminator(SHAPE, width=4, outputs=3, classes=3)
    assert network(torch.randn(5, *SHAPE), LABELLED).shape == (5, 3)


@pytest.mark.parametrize("name", ["dcgan, spectral norm", "resnet, spectral norm"])
def test_spectral_norm_bounds_the_projection(name: str) -> None:
    network, x = made(f"D {name}")
    for _ in range(50):
        network(x, LABELLED)
    (projection,) = (part for part in network.eval().modules() if isinstance(part, Projection))
    assert torch.linalg.matrix_norm(projection.vectors.weight.detach(), 2).item() == pytest.approx(1, abs=0.01)


def test_layers_with_spectral_norm_have_it_in_the_projection() -> None:
    network = build(["linear 8", "lrelu", "linear 1 spectral_norm=true"], (4,), classes=3)
    for _ in range(50):
        network(torch.randn(5, 4), LABELLED)
    vectors = network.eval().layers[-1].vectors.weight.detach()
    assert torch.linalg.matrix_norm(vectors, 2).item() == pytest.approx(1, abs=0.01)


def test_conditional_norms_are_left_by_spectral_norm() -> None:
    network, _ = made("G resnet")
    spectral_norm_(network)
    assert all(part.gain.eq(1).all() for part in network.modules() if isinstance(part, ConditionalBatchNorm2d))


def test_projections_begin_as_the_other_weights_do() -> None:
    torch.manual_seed(0)
    dcgan = PRESETS["dcgan"].discriminator((3, 32, 32), width=16, classes=10)
    assert dcgan[-1].vectors.weight.std().item() == pytest.approx(0.02, rel=0.05)
    resnet = PRESETS["resnet"].discriminator((3, 32, 32), width=64, classes=10)
    assert resnet[-1].vectors.weight.var().item() == pytest.approx(2 / (10 + 128), rel=0.1)


# Refusals.


@pytest.mark.parametrize("name", NETWORKS)
def test_labels_that_do_not_fit(name: str) -> None:
    network, x = made(name)
    with pytest.raises(ShapeError, match=r"no labels were given, and the network is of 3 classes; give int64 labels"):
        network(x)
    for labels, words in (
        (LABELLED[:, None], r"labels are int64 \(5, 1\); for 5 samples they must be int64 \(5,\)"),
        (LABELLED[:4], r"labels are int64 \(4,\)"),
        (LABELLED.float(), r"labels are float32 \(5,\)"),
    ):
        with pytest.raises(ShapeError, match=words):
            network(x, labels)
    for shift, low, high in ((1, 1, 3), (-1, -1, 1)):
        with pytest.raises(
            ConfigError, match=f"labels go from {low} to {high}, and the network is of 3 classes, 0 to 2; build it with"
        ):
            network(x, LABELLED + shift)


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_are_counted(name: str) -> None:
    with pytest.raises(ConfigError, match="classes is -1; it must be at least 0"):
        NETWORKS[name](classes=-1)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"mlp", "dcgan", "resnet", "r3gan"}))
def test_presets_without_labels_say_so(name: str) -> None:
    for make in (partial(PRESETS[name].generator, 6), PRESETS[name].discriminator):
        with pytest.raises(
            ConfigError,
            match=rf"classes is 3, and {name} takes no labels: leave classes \(.*\) out, or take mlp",
        ):
            make(SHAPE, classes=3)


def test_a_list_that_ends_otherwise_is_refused() -> None:
    words = (
        r"layer 2, column 1: the projection of labels is on what comes into a linear layer; .*, such as 'linear 1'\n"
    )
    with pytest.raises(ConfigError, match=words):
        build(["linear 4", "lrelu"], (4,), classes=2)


def test_a_network_without_classes_takes_no_labels() -> None:
    with pytest.raises(ConfigError, match="labels were given, and the network takes none; build it with classes="):
        build(["linear 1"], (4,))(torch.randn(5, 4), LABELLED)
