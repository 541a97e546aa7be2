"""Presets: contracts of all of them, the papers' sizes, initial weights, and what they refuse."""

from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from poise.constraints import CONSTRAINTS
from poise.errors import ConfigError, ShapeError
from poise.losses import LOSSES
from poise.models import (
    PRESETS,
    BeganDiscriminator,
    Growing,
    began_discriminator,
    began_generator,
    dcgan_discriminator,
    dcgan_generator,
    normal_,
    progressive_discriminator,
    resnet_discriminator,
    resnet_generator,
    spectral_norm_,
)

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "mlp": [(2,), (7,), (1, 8, 8)],
    "dcgan": [(channels, side, side) for channels in (1, 3, 4) for side in (8, 16, 32, 64, 128)],
    "resnet": [
        (1, 8, 8),
        (3, 16, 16),
        (1, 32, 32),
        (3, 32, 32),
        (4, 32, 32),
        (3, 64, 64),
        (1, 128, 128),
        (3, 256, 256),
    ],
    "r3gan": [(1, 8, 8), (3, 16, 16), (1, 32, 32), (3, 32, 32), (4, 32, 32), (3, 64, 64), (1, 128, 128), (3, 256, 256)],
    "progressive": [(1, 4, 4), (3, 8, 8), (4, 16, 16), (1, 32, 32), (3, 64, 64), (3, 128, 128)],
    "began": [(1, 8, 8), (3, 16, 16), (1, 32, 32), (3, 32, 32), (4, 32, 32), (3, 64, 64), (1, 128, 128)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]

# The last layer is linear in the papers of the others.
BOUNDED = {"mlp", "dcgan", "resnet"}

# One logit by nature: an error of reconstruction.
SINGLE = {"began"}

DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "dcgan": {"norm": "none"},
    "dcgan, spectral norm": {"norm": "none", "spectral_norm": True},
    "resnet": {},
    "resnet, spectral norm": {"spectral_norm": True},
    "r3gan": {},
    "progressive": {"grow_kimg": [0], "fade_kimg": 2},
    "began": {"hidden": 8},
    "began, squared errors": {"hidden": 8, "eta": 2},
}


def grown(network: nn.Module, kimg: float | None = None) -> nn.Module:
    if isinstance(network, Growing):
        network.progress(network.grown_at_kimg if kimg is None else kimg)
    return network


def generator(name: str, shape: tuple[int, ...], **options: Any) -> nn.Module:
    return grown(PRESETS[name].generator(z_dim=6, shape=shape, width=4, **options))


def discriminator(name: str, shape: tuple[int, ...] = (3, 8, 8), **options: Any) -> nn.Module:
    return grown(PRESETS[name].discriminator(shape=shape, width=4, **options))


def described(case: str) -> nn.Module:
    """One of the DISCRIMINATORS; the progressive one in the middle of its fade-in."""
    torch.manual_seed(0)
    network = discriminator(case.partition(",")[0], **DISCRIMINATORS[case])
    return grown(network, 1.0)


def test_every_preset_is_here() -> None:
    assert set(SHAPES) == set(PRESETS) == {case.partition(",")[0] for case in DISCRIMINATORS}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_shapes_and_gradients(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    g, d = generator(name, shape), discriminator(name, shape)
    samples = g(torch.randn(3, 6))
    assert samples.shape == (3, *shape)
    if len(shape) == 3 and name in BOUNDED:
        assert samples.abs().max() <= 1
    logits = d(samples)
    assert logits.shape == (3, 1)
    logits.sum().backward()
    for network in (g, d):
        used = {key: weight for key, weight in network.named_parameters() if not replaced(network, key)}
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in used.values())


def replaced(network: nn.Module, key: str) -> bool:
    """Whether a weight belongs to the ways in or out of the stages that a grown network has left."""
    return isinstance(network, Growing) and "_rgb." in key and f"_rgb.{network.stage}." not in key


@pytest.mark.parametrize("name", sorted(set(PRESETS) - SINGLE))
def test_outputs(name: str) -> None:
    assert discriminator(name, outputs=5)(torch.randn(3, 3, 8, 8)).shape == (3, 5)
    with pytest.raises(ConfigError, match="outputs is 0; it must be at least 1"):
        discriminator(name, outputs=0)


@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_gradient_penalties(case: str) -> None:
    """The gradient of a squared input gradient, against central differences along a random direction."""
    d = described(case).double().eval()  # where spectral normalization leaves its vectors alone
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)

    def penalty() -> Tensor:
        points = images.clone().requires_grad_()
        (gradients,) = torch.autograd.grad(d(points).sum(), points, create_graph=True)
        return gradients.square().sum()

    weights = list(d.parameters())
    with torch.no_grad():
        for weight in weights:  # dcgan's own would make too small a penalty
            weight += 0.1 * torch.randn_like(weight)
    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)
    direction = [torch.randn_like(weight) for weight in weights]
    slope = sum((g * v).sum() for g, v in zip(gradients, direction, strict=True) if g is not None)

    def moved(distance: float) -> Tensor:
        with torch.no_grad():
            for weight, v in zip(weights, direction, strict=True):
                weight += distance * v
        return penalty().detach()

    epsilon = 1e-7
    difference = (moved(epsilon) - moved(-2 * epsilon)) / (2 * epsilon)
    assert abs(difference) > 1e-3
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=0)


@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_discriminators_can_be_copied_and_restored(case: str) -> None:
    d = described(case)
    images = torch.randn(4, 3, 8, 8)
    d(images).sum().backward()  # moves what spectral normalization keeps
    logits = d.eval()(images)
    assert torch.equal(deepcopy(d)(images), logits)
    other = discriminator(case.partition(",")[0], **DISCRIMINATORS[case]).eval()
    assert not torch.equal(other(images), logits)
    other.load_state_dict(d.state_dict())
    assert torch.equal(other(images), logits)


@pytest.mark.parametrize("name", PRESETS)
def test_generators_can_be_copied_and_restored(name: str) -> None:
    g = generator(name, (3, 8, 8))
    z = torch.randn(4, 6)
    g(z)  # moves the statistics of batch norms
    samples = g.eval()(z)
    assert torch.equal(deepcopy(g)(z), samples)
    other = generator(name, (3, 8, 8)).eval()
    other.load_state_dict(g.state_dict())
    assert torch.equal(other(z), samples)


@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_bfloat16_autocast(case: str) -> None:
    name = case.partition(",")[0]
    d, g = described(case), generator(name, (3, 8, 8))
    z = torch.randn(8, 6)
    logits = d.eval()(g.eval()(z))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = d(g(z))
    torch.testing.assert_close(rounded.float(), logits, rtol=0.05, atol=0.05 * logits.abs().max().item())
    rounded.float().sum().backward()
    for network in (g, d):
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() and gradient.dtype == torch.float32 for gradient in gradients)


@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_the_memory_format_of_images_changes_nothing(case: str) -> None:
    d = described(case).eval()
    images = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(d(images.contiguous(memory_format=torch.channels_last)), d(images))


@pytest.mark.parametrize("name", PRESETS)
def test_width_is_at_least_1(name: str) -> None:
    for build in (partial(PRESETS[name].generator, 6), PRESETS[name].discriminator):
        with pytest.raises(ValueError, match="width"):
            build((3, 8, 8), width=0)


@pytest.mark.parametrize(
    ("norm", "words"),
    [("bach", r"did you mean 'batch'\?"), ("layer", "known: batch, none"), (None, r"did you mean 'none'\?")],
)
@pytest.mark.parametrize("build", [dcgan_generator, dcgan_discriminator, resnet_generator])
def test_unknown_norms_are_refused(build: Any, norm: Any, words: str) -> None:
    z_dim = {} if build is dcgan_discriminator else {"z_dim": 4}
    with pytest.raises(ConfigError, match=rf"norm: there is no normalization {norm!r} \({words}\)"):
        build(**z_dim, shape=(1, 8, 8), norm=norm)


@pytest.mark.parametrize("name", PRESETS)
def test_no_layer_is_shared(name: str) -> None:
    for network in (generator(name, (3, 8, 8)), discriminator(name)):
        layers = [layer for _, layer in network.named_modules(remove_duplicate=False)]
        assert len(layers) == len({id(layer) for layer in layers})


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"mlp"}))
@pytest.mark.parametrize("shape", [(3, 48, 48), (3, 32, 64), (2, 32, 32), (3, 2048, 2048), (2,)])
def test_image_presets_refuse(name: str, shape: tuple[int, ...]) -> None:
    words = rf"{name} makes images of 1, 3 or 4 channels and a side of [48], .* or \d+, not shape \(.*\); give --size"
    with pytest.raises(ShapeError, match=words):
        generator(name, shape)
    with pytest.raises(ShapeError, match=words):
        discriminator(name, shape)


# Initial weights.


def test_initial_weights() -> None:
    torch.manual_seed(0)
    for layer in dcgan_discriminator((3, 64, 64)).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(layer.weight.mean().item()) < 0.001
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert layer.bias.abs().max() == 0


def test_normal_std() -> None:
    layer = normal_(nn.Linear(200, 200), std=0.5)
    assert layer.weight.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("build", "squared_gains"),
    [
        (partial(resnet_generator, 128, (3, 32, 32), width=16), (1, 2)),
        (partial(resnet_discriminator, (3, 32, 32), width=32), (1, 2)),
        (partial(began_generator, 64, (3, 16, 16), width=32), (1, 1)),
        (partial(began_discriminator, (3, 16, 16), width=32), (1, 1)),
    ],
)
def test_xavier_weights(build: Any, squared_gains: tuple[int, int]) -> None:
    """Uniform with the variance 2 g^2 / (fan in + fan out); g^2 is 2 inside residual branches only."""
    torch.manual_seed(0)
    seen = 0
    for name, layer in build().named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if layer.bias is not None:
                assert layer.bias.abs().max() == 0
            outputs, inputs = layer.weight.shape[:2]
            squared_gain = squared_gains["residual" in name]
            variance = 2 * squared_gain / ((inputs + outputs) * layer.weight[0, 0].numel())
            assert layer.weight.abs().max() <= (3 * variance) ** 0.5
            if layer.weight.numel() > 2000:
                assert layer.weight.var().item() == pytest.approx(variance, rel=0.1)
                seen += 1
    assert seen > 3


# DCGAN.


def test_dcgan_is_the_papers_at_64() -> None:
    """Figure 1 of the paper: 4 x 4 x 1024 up to 64 x 64 x 3, at width 128."""
    ups = [layer for layer in dcgan_generator(100, (3, 64, 64), width=128) if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in ups] == [1024, 512, 256, 128, 3]


@pytest.mark.parametrize("build", [dcgan_generator, dcgan_discriminator, resnet_generator])
def test_norm_none_has_no_batch_norm(build: Any) -> None:
    arguments = (8, (1, 32, 32)) if build is not dcgan_discriminator else ((1, 32, 32),)
    for norm, expected in (("batch", True), ("none", False)):
        network = build(*arguments, width=4, norm=norm)
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) is expected


# Spectral normalization.


def largest_singular_values(network: nn.Module) -> list[float]:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() for layer in layers]


@pytest.mark.parametrize("build", [partial(dcgan_discriminator, norm="none"), resnet_discriminator])
def test_spectral_norm(build: Any) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 32, 32)
    free, bound = build((3, 32, 32), width=8), build((3, 32, 32), width=8, spectral_norm=True)
    for _ in range(100):
        bound(images)
    assert max(abs(value - 1) for value in largest_singular_values(free)) > 0.1
    values = largest_singular_values(bound.eval())
    assert len(values) == len(largest_singular_values(free))
    assert max(abs(value - 1) for value in values) < 0.01


def test_spectral_norm_of_weights_that_are_scaled_at_run_time() -> None:
    for normalize in (spectral_norm_, CONSTRAINTS["spectral_norm"].prepare):
        torch.manual_seed(0)
        network = grown(progressive_discriminator((1, 8, 8), width=4))
        normalize(network)
        scaled = [layer for layer in network.modules() if hasattr(layer, "weight_scale")]
        assert len(scaled) == 7
        for layer in scaled:
            layer(torch.randn(1, layer.weight.shape[1], *[4] * (layer.weight.ndim - 2)))
            effective = (layer.weight_scale * layer.weight).flatten(1)
            assert torch.linalg.matrix_norm(effective, 2).item() == pytest.approx(1, abs=0.05)


def test_spectral_norm_follows_the_weights() -> None:
    """The bound holds after an update that multiplies every weight and adds to it."""
    torch.manual_seed(0)
    network = spectral_norm_(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3)))
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(5 * weight + torch.randn_like(weight))
    for _ in range(50):
        network(images)
    down, up = network[0].weight.detach(), network[2].weight.detach().transpose(0, 1)
    for matrix in (down.flatten(1), up.flatten(1)):
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-3)


# Residual networks.


def blocks(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.children() if hasattr(layer, "residual")]


def channels(block: nn.Module) -> list[int]:
    return [layer.out_channels for layer in block.residual if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("side", "widths"),
    [(32, [256, 256, 256, 256]), (128, [1024, 1024, 512, 256, 128, 64])],
)
def test_resnet_generator_is_the_papers(side: int, widths: list[int]) -> None:
    with torch.device("meta"):
        network = resnet_generator(128, (3, side, side))
    assert network[0].out_features == 4 * 4 * widths[0]
    assert [channels(block) for block in blocks(network)] == [[width, width] for width in widths[1:]]


@pytest.mark.parametrize(
    ("side", "widths", "sides"),
    [(32, [128, 128, 128, 128], [16, 8, 8, 8]), (128, [64, 128, 256, 512, 1024, 1024], [64, 32, 16, 8, 4, 4])],
)
def test_resnet_discriminator_is_the_papers(side: int, widths: list[int], sides: list[int]) -> None:
    seen: list[tuple[int, int]] = []
    with torch.device("meta"):
        network = resnet_discriminator((3, side, side))
        for block in blocks(network):
            block.register_forward_hook(lambda block, inputs, output: seen.append((output.shape[1], output.shape[2])))
        network(torch.zeros(1, 3, side, side))
    assert seen == list(zip(widths, sides, strict=True))
    # The first block widens at once, and does not clip the image; the others widen in their second convolution.
    assert [channels(block) for block in blocks(network)] == [
        [widths[0], widths[0]],
        *([narrow, wide] for narrow, wide in pairwise(widths)),
    ]
    assert [isinstance(block.residual[0], nn.ReLU) for block in blocks(network)] == [False] + [True] * (len(widths) - 1)


def without_branch(block: nn.Module) -> nn.Module:
    last = [layer for layer in block.residual if isinstance(layer, nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    return block


def test_a_block_without_its_branch_is_its_shortcut() -> None:
    features = torch.randn(2, 8, 4, 4)
    up = without_branch(blocks(resnet_generator(6, (3, 8, 8), width=2))[0])
    torch.testing.assert_close(up(features), up.shortcut(interpolate(features, scale_factor=2)))
    halving, keeping, _ = (without_branch(block) for block in blocks(resnet_discriminator((3, 8, 8), width=4)))
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(halving(images), avg_pool2d(halving.shortcut(images), 2))
    assert torch.equal(keeping(features), features)


def test_resnet_discriminator_sums_over_pixels() -> None:
    network = resnet_discriminator((3, 16, 16), width=4)
    images = torch.randn(2, 3, 16, 16)
    features = nn.Sequential(*blocks(network))(images)
    torch.testing.assert_close(network(images), network[-1](relu(features).sum((2, 3))))


# BEGAN.


def strides(network: nn.Module) -> list[tuple[int, int]]:
    return [(layer.out_channels, layer.stride[0]) for layer in network if isinstance(layer, nn.Conv2d)]


def test_began_is_the_papers_at_128() -> None:
    """Figure 1: channels n, 2n, ... 5n down to 8 x 8, an embedding of 64, n everywhere in the decoder."""
    with torch.device("meta"):
        network = began_discriminator((3, 128, 128), width=128)
        g = began_generator(64, (3, 128, 128), width=128)
    expected = [(128, 1)]
    for stage in range(1, 6):
        expected += [(128 * stage, 1), (128 * stage, 1), (128 * (stage + 1), 2)]
    assert strides(network.encoder) == expected[:-1]
    assert network.encoder[-1].in_features == 8 * 8 * 5 * 128
    assert network.encoder[-1].out_features == network.decoder[0].in_features == 64
    assert strides(network.decoder) == [(128, 1)] * 10 + [(3, 1)]
    assert repr(g) == repr(network.decoder)
    assert sum(isinstance(layer, nn.ELU) for layer in network.modules()) == 15 + 10


def test_began_logits_are_minus_the_errors() -> None:
    images = torch.tensor([[0.0, 2.0, -4.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    nothing = nn.Linear(4, 4, bias=False)
    nn.init.zeros_(nothing.weight)
    assert BeganDiscriminator(nothing, nn.Identity())(images).tolist() == [[-2.0], [-1.0]]
    assert BeganDiscriminator(nothing, nn.Identity(), eta=2)(images).tolist() == [[-6.0], [-1.0]]
    assert BeganDiscriminator(nn.Identity(), nn.Identity())(images).tolist() == [[0.0], [0.0]]
    with pytest.raises(ConfigError, match=r"eta is 3; it must be 1 \(absolute errors\) or 2 \(squared errors\)"):
        BeganDiscriminator(nothing, nothing, eta=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="hidden is 0; it must be at least 1"):
        began_discriminator((3, 8, 8), hidden=0)


def test_began_reconstructs() -> None:
    d = began_discriminator((3, 16, 16), width=4, hidden=5)
    real, fake = torch.randn(3, 3, 16, 16), torch.randn(3, 3, 16, 16)
    assert d.reconstruct(real).shape == real.shape
    assert d.encoder(real).shape == (3, 5)

    def error(images: Tensor) -> Tensor:
        return (images - d.reconstruct(images)).abs().mean((1, 2, 3))

    torch.testing.assert_close(LOSSES["wasserstein"].d(d(real), d(fake)), error(real) - error(fake))
    torch.testing.assert_close(LOSSES["wasserstein"].g(d(real), d(fake)), error(fake))
