"""Layers against their formulas, written out another way, and how weights begin."""

from collections.abc import Callable
from copy import deepcopy
from math import prod, sqrt

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from poise.errors import ShapeError
from poise.models import (
    INITIALIZERS,
    kaiming_,
    normal_,
    orthogonal_,
    progressive_discriminator,
    progressive_generator,
    xavier_,
)
from poise.models.layers import (
    AdaptiveInstanceNorm,
    Blur,
    Chain,
    ChannelAttention,
    Combine,
    Constant,
    EfficientAttention,
    EqualConv2d,
    EqualLinear,
    EzNorm,
    Hardsigmoid,
    LearnedNoise,
    Linear,
    MinibatchStddev,
    ModulatedConv2d,
    MultiHeadAttention,
    Noise,
    PixelNorm,
    Recall,
    Residual,
    SegmentSoftmax,
    SelfAttention,
    Styled,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_linear_flattens_and_shapes() -> None:
    layer = Linear(12, (2, 5))
    x = torch.randn(3, 4, 3)
    expected = (x.reshape(3, 12) @ layer.weight.T + layer.bias).reshape(3, 2, 5)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("lr_mul", [1.0, 0.01])
def test_equal_linear(lr_mul: float) -> None:
    layer = EqualLinear(400, (300,), lr_mul=lr_mul, gain=1.5, bias_start=2.0)
    x = torch.randn(50, 400)
    expected = x @ layer.weight.T * (lr_mul * 1.5 / 20) + lr_mul * layer.bias
    torch.testing.assert_close(layer(x), expected)
    # Whatever the factor, outputs begin with the gain's deviation and the bias asked for.
    assert layer(x).std().item() == pytest.approx(1.5, rel=0.05)
    assert layer(torch.zeros(1, 400)).mean().item() == pytest.approx(2.0)
    assert layer.weight.std().item() == pytest.approx(1 / lr_mul, rel=0.02)
    assert EqualLinear(3, (2,), bias=False).bias is None


def test_equal_linear_moves_at_its_learning_rate() -> None:
    """A step on the weight moves the output by lr_mul squared times what it moves it at lr_mul 1."""
    x = torch.ones(1, 4)
    moves = []
    for lr_mul in (1.0, 0.1):
        layer = EqualLinear(4, (1,), bias=False, lr_mul=lr_mul)
        before = layer(x)
        (gradient,) = torch.autograd.grad(before.sum(), layer.weight)
        with torch.no_grad():
            layer.weight += gradient
        moves.append((layer(x) - before).item())
    assert moves[1] == pytest.approx(0.01 * moves[0], rel=1e-4)


# Convolutions.


def test_blur_by_hand() -> None:
    signal = torch.tensor([[[1.0, 2.0, 4.0]]])
    torch.testing.assert_close(Blur(1)(signal), torch.tensor([[[1.5, 2.25, 3.0]]]))
    impulse = torch.zeros(1, 2, 5, 5)
    impulse[0, 1, 2, 2] = 16
    expected = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    torch.testing.assert_close(Blur(2)(impulse)[0, 1], pad(expected, (1, 1, 1, 1)))
    assert Blur(2)(impulse)[0, 0].abs().max() == 0
    torch.testing.assert_close(Blur(2)(torch.full((1, 3, 4, 2), 7.0)), torch.full((1, 3, 4, 2), 7.0))


def modulated(layer: ModulatedConv2d, x: Tensor, style: Tensor, demodulate: bool) -> Tensor:
    """Equations 1 and 3 with a filter of each sample's own, and the same padding."""
    outputs = []
    for image, scale in zip(x, layer.style(style), strict=True):
        weight = layer.weight * scale[:, None, None] / sqrt(prod(layer.weight.shape[1:]))
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        outputs.append(conv2d(image[None], weight, padding=layer.weight.shape[-1] // 2))
    return torch.cat(outputs)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_modulated_convolution(taps: int, demodulate: bool) -> None:
    layer = ModulatedConv2d(4, 3, 6, taps, demodulate, bias=True)
    nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 4, 5, 6), torch.randn(2, 6)
    expected = modulated(layer, x, style, demodulate) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, style), expected, atol=1e-5, rtol=1e-4)


def test_equal_convolution() -> None:
    layer = EqualConv2d(16, 40, 3, padding=1, gain=3)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 16, 6, 5)
    torch.testing.assert_close(layer(x), conv2d(x, layer.weight * (3 / 12), layer.bias, padding=1))
    assert layer.weight.std().item() == pytest.approx(1, rel=0.05)


def test_modulated_convolution_keeps_unit_variance() -> None:
    layer = ModulatedConv2d(64, 32, 16)
    y = layer(torch.randn(8, 64, 16, 16), 5 * torch.randn(8, 16))
    assert y[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.05)


def between_zeros(x: Tensor, taps: Tensor) -> Tensor:
    """Twice the size: zeros between the values, and then the filter, whose weights sum to 4."""
    spread = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    kernel = taps[:, None] * taps / taps.sum() ** 2 * 4
    return conv2d(pad(spread, (2, 1, 2, 1)), kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def test_modulated_upsampling_is_a_filter_between_zeros() -> None:
    layer = ModulatedConv2d(4, 3, 6, resample="upsample")
    x, style = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    larger = between_zeros(x, torch.tensor([1.0, 3.0, 3.0, 1.0]))
    y = layer(x, style)
    assert y.shape == (2, 3, 12, 12)
    inside = (..., slice(2, -2), slice(2, -2))  # at the border bilinear interpolation repeats, and zeros do not
    torch.testing.assert_close(y[inside], modulated(layer, larger, style, True)[inside], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("side", [6, 7])
def test_modulated_downsampling_filters_first(side: int, taps: int) -> None:
    layer = ModulatedConv2d(4, 3, 6, taps, resample="downsample")
    x, style = torch.randn(2, 4, side, side), torch.randn(2, 6)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    filtered = conv2d(pad(x, (2, 2, 2, 2)), (line[:, None] * line).expand(4, 1, -1, -1), groups=4)  # side + 1
    full = modulated(layer, filtered, style, True)
    y = layer(x, style)
    assert y.shape == (2, 3, side // 2, side // 2)
    inside = slice(1, side // 2 - 1)  # the filtered image goes on beyond its border, its padding does not
    torch.testing.assert_close(y[..., inside, inside], full[..., 1::2, 1::2][..., inside, inside], atol=1e-5, rtol=1e-4)


# Normalizations.


def test_pixel_norm_by_hand() -> None:
    x = torch.tensor([[[3.0, 0.0], [4.0, 2.0]]])
    expected = torch.tensor([[[3.0, 0.0], [4.0, 2.0]]]) / torch.tensor([sqrt(12.5), sqrt(2.0)])
    torch.testing.assert_close(PixelNorm()(x), expected)
    assert PixelNorm()(torch.zeros(1, 3)).abs().max() == 0


def test_adaptive_instance_norm() -> None:
    layer = AdaptiveInstanceNorm(3, 5)
    x, style = torch.randn(2, 3, 4, 6) * 7 + 2, torch.randn(2, 5)
    y = layer(x, style)
    torch.testing.assert_close(y.mean((2, 3)), layer.shift(style), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y.std((2, 3), correction=0), (1 + layer.scale(style)).abs(), atol=1e-4, rtol=1e-4)
    for part in (layer.scale, layer.shift):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    torch.testing.assert_close(layer(x, style), nn.functional.instance_norm(x))
    assert layer(torch.randn(2, 3, 8), style).shape == (2, 3, 8)
    assert layer(torch.randn(2, 3, 1, 1), style).abs().max() == 0


def test_ez_norm() -> None:
    layer = EzNorm(3, 5)
    x, style = torch.randn(2, 3, 4, 6), torch.randn(2, 5)
    beta = style @ layer.beta.weight.T + layer.beta.bias
    positions = torch.einsum("c,nchw->nhw", layer.conv.weight[0, :, 0], x) + layer.conv.bias
    torch.testing.assert_close(layer(x, style), torch.einsum("nc,nhw->nchw", beta, positions))


def test_minibatch_stddev_by_hand() -> None:
    x = torch.tensor([[1.0, 10.0], [3.0, 20.0]])  # deviations 1 and 5
    torch.testing.assert_close(MinibatchStddev()(x), torch.tensor([[1.0, 10.0, 3.0], [3.0, 20.0, 3.0]]))
    images = torch.stack([torch.zeros(2, 3, 3), torch.full((2, 3, 3), 4.0), torch.ones(2, 3, 3), torch.ones(2, 3, 3)])
    y = MinibatchStddev(group=2)(images)
    assert y.shape == (4, 3, 3, 3)
    torch.testing.assert_close(y[:, 2, 1, 1], torch.tensor([2.0, 2.0, 1e-4, 1e-4]))
    assert MinibatchStddev(group=8)(images)[0, 2, 0, 0] == MinibatchStddev()(images)[0, 2, 0, 0]
    with pytest.raises(
        ShapeError, match="groups of 3 and was given 4 samples; give a batch that they divide, or another"
    ):
        MinibatchStddev(group=3)(images)


def test_minibatch_stddev_of_equal_samples_has_a_gradient() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(MinibatchStddev()(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.isfinite().all()


# Attention.


def test_self_attention_begins_as_the_identity() -> None:
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(SelfAttention(16)(x), x)


def test_self_attention() -> None:
    layer = SelfAttention(16)
    nn.init.constant_(layer.gamma, 0.7)
    f, g, h, v = (part.weight[..., 0] for part in (layer.f, layer.g, layer.h, layer.v))
    assert f.shape == g.shape == h.shape == (2, 16)
    x = torch.randn(2, 16, 2, 3)
    y = layer(x)
    for sample, found in zip(x.flatten(2), y.flatten(2), strict=True):
        for j in range(6):
            scores = torch.stack([(f @ sample[:, i]) @ (g @ sample[:, j]) for i in range(6)])
            beta = scores.exp() / scores.exp().sum()
            o = v @ sum(beta[i] * (h @ sample[:, i]) for i in range(6))
            torch.testing.assert_close(found[:, j], 0.7 * o + sample[:, j])


def test_self_attention_of_few_channels() -> None:
    assert SelfAttention(3).f.weight.shape == (1, 3, 1)


def test_channel_attention() -> None:
    layer = ChannelAttention(8, reduction=4)
    x = torch.randn(2, 8, 3, 5)
    means = x.sum((2, 3)) / 15
    hidden = (means @ layer.squeeze.weight.T + layer.squeeze.bias).clamp(min=0)
    scale = 1 / (1 + (-(hidden @ layer.excite.weight.T) - layer.excite.bias).exp())
    assert hidden.shape == (2, 2)
    torch.testing.assert_close(layer(x), x * scale[:, :, None, None])
    assert ChannelAttention(4, reduction=16).squeeze.out_features == 1


def test_multi_head_attention_is_torchs() -> None:
    layer = MultiHeadAttention(8, 6, heads=2)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key.bias, layer.value.bias]))
        theirs.out_proj.weight.copy_(torch.eye(8))
    x = torch.randn(3, 8, 2, 5)
    tokens = x.flatten(2).transpose(1, 2)
    found = layer.out(theirs(tokens, tokens, tokens)[0])
    torch.testing.assert_close(layer(x), found.transpose(1, 2).reshape(3, 6, 2, 5))


def test_multi_head_attention_of_one_position_is_two_linear_maps() -> None:
    """Which is why a vector has no queries and no keys."""
    layer = MultiHeadAttention(8, 6, heads=4)
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x[..., None])[..., 0], layer.out(layer.value(x)))


def test_efficient_attention() -> None:
    layer = EfficientAttention(5, 7, heads=2, key_channels=6, value_channels=4)
    x = torch.randn(2, 5, 3, 4)
    line = x.flatten(2)
    query, key, value = (part(line).transpose(1, 2) for part in (layer.query, layer.key, layer.value))
    heads = []
    for m in range(2):
        features, values = slice(3 * m, 3 * m + 3), slice(2 * m, 2 * m + 2)
        # The whole matrix of positions by positions, whose rows sum to 1: what the layer spares.
        weights = query[..., features].softmax(2) @ key[..., features].softmax(1).transpose(1, 2)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 12))
        heads.append(weights @ value[..., values])
    expected = layer.out(torch.cat(heads, 2).transpose(1, 2)).reshape(2, 7, 3, 4)
    torch.testing.assert_close(layer(x), expected)


def test_segment_softmax() -> None:
    layer = SegmentSoftmax(3)
    x = torch.randn(2, 30, 4, 5)
    content, votes = x[:, :15], x[:, 15:]
    for c in range(3):
        own = slice(c, 15, 3)  # five channels for each
        weights = votes[:, own].exp() / votes[:, own].exp().sum(1, keepdim=True)
        torch.testing.assert_close(layer(x)[:, c], (weights * content[:, own]).sum(1))
    torch.testing.assert_close(SegmentSoftmax(1)(torch.tensor([[2.0, 6.0, 0.0, 0.0]])), torch.tensor([[4.0]]))


# Noise.


def test_noise_is_fresh_and_the_default_generators() -> None:
    layer = Noise((50, 40))
    x = torch.zeros(3, 2, dtype=torch.float64)
    torch.manual_seed(5)
    first, second = layer(x), layer(x)
    torch.manual_seed(5)
    assert torch.equal(first, layer(x))
    assert not torch.equal(first, second)
    assert first.shape == (3, 50, 40)
    assert first.dtype == torch.float64
    assert abs(first.mean().item()) < 0.05
    assert abs(first.std().item() - 1) < 0.05


def test_learned_noise() -> None:
    layer = LearnedNoise(3)
    x = torch.randn(2, 3, 20, 30)
    assert torch.equal(layer(x), x)
    layer.strength.data = torch.tensor([1.0, -2.0, 0.0])
    added = layer(x) - x
    torch.testing.assert_close(added[:, 1], -2 * added[:, 0], atol=1e-5, rtol=1e-5)  # one noise for all channels
    assert added[:, 2].abs().max() == 0
    assert abs(added[:, 0].std().item() - 1) < 0.1
    vector = LearnedNoise(2)
    vector.strength.data = torch.ones(2)
    added = vector(torch.zeros(500, 2))
    assert abs(torch.corrcoef(added.T)[0, 1].item()) < 0.2  # each feature has its own


def test_constant() -> None:
    layer = Constant((4, 3, 2))
    y = layer(torch.randn(5, 7))
    assert y.shape == (5, 4, 3, 2)
    assert torch.equal(y[0], layer.weight)
    assert torch.equal(y[4], layer.weight)


# Wiring.


def test_wiring_keeps_what_is_named() -> None:
    kept: dict[str, Tensor] = {}
    double = Combine("add", {"0": nn.Identity(), "1": nn.Identity()})
    chain = Chain({"a": double, "1": nn.Tanh(), "2": Combine("mul", {"0": nn.Identity(), "b": Recall("a")})})
    x = torch.randn(2, 3)
    torch.testing.assert_close(chain(x, kept), (2 * x).tanh() * 2 * x)
    assert set(kept) == {"a", "b"}


def test_residual() -> None:
    branch, shortcut = nn.Linear(3, 3), nn.Linear(3, 3)
    layer = Residual(branch, shortcut)
    x = torch.randn(2, 3)
    torch.testing.assert_close(layer(x, {}), shortcut(x))
    nn.init.constant_(layer.gate, -0.5)
    torch.testing.assert_close(layer(x, {}), shortcut(x) - 0.5 * branch(x))
    assert torch.equal(Residual(branch)(x, {}), x)


def test_styled_flattens_the_style() -> None:
    layer = Styled(AdaptiveInstanceNorm(3, 8), "w")
    x, style = torch.randn(2, 3, 4), torch.randn(2, 2, 4)
    torch.testing.assert_close(layer(x, {"w": style}), layer.layer(x, style.flatten(1)))


def test_recall_brings_to_a_size() -> None:
    kept = {"a": torch.randn(2, 3, 4, 4), "b": torch.randn(2, 3, 4)}
    x = torch.zeros(())
    assert Recall("a")(x, kept) is kept["a"]
    assert Recall("a", (4, 4))(x, kept) is kept["a"]
    torch.testing.assert_close(Recall("a", (2, 9))(x, kept), interpolate(kept["a"], (2, 9), mode="bilinear"))
    torch.testing.assert_close(Recall("b", (8,))(x, kept), interpolate(kept["b"], 8, mode="linear"))


def test_hardsigmoid_is_torchs() -> None:
    x = torch.linspace(-5, 5, 41)
    torch.testing.assert_close(Hardsigmoid()(x), nn.Hardsigmoid()(x))


# First and second derivatives.

STYLE = torch.randn(2, 3, dtype=torch.float64)
DERIVATIVES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "EqualLinear": (lambda: EqualLinear(4, (3,)), (2, 4)),
    "EqualConv2d": (lambda: EqualConv2d(4, 3, 3), (2, 4, 5, 4)),
    "Blur": (lambda: Blur(2), (2, 2, 3, 2)),
    "ModulatedConv2d": (lambda: ModulatedConv2d(2, 2, 3), (2, 2, 3, 2)),
    "PixelNorm": (PixelNorm, (2, 3, 2)),
    "AdaptiveInstanceNorm": (lambda: AdaptiveInstanceNorm(2, 3), (2, 2, 4)),
    "EzNorm": (lambda: EzNorm(2, 3), (2, 2, 4)),
    "MinibatchStddev": (MinibatchStddev, (3, 2, 2)),
    "SelfAttention": (lambda: SelfAttention(2), (2, 2, 3)),
    "ChannelAttention": (lambda: ChannelAttention(2), (2, 2, 3)),
    "MultiHeadAttention": (lambda: MultiHeadAttention(2, 2, heads=2), (2, 2, 3)),
    "EfficientAttention": (lambda: EfficientAttention(2, 2, 1, 2, 2), (2, 2, 3)),
    "SegmentSoftmax": (lambda: SegmentSoftmax(2), (2, 8, 2)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name: str) -> None:
    """Of the output by the input and by every weight."""
    make, shape = DERIVATIVES[name]
    layer = make().double()
    if isinstance(layer, SelfAttention):
        nn.init.constant_(layer.gamma, 0.5)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    names = [key for key, _ in layer.named_parameters()]
    others = (STYLE,) if name in ("ModulatedConv2d", "AdaptiveInstanceNorm", "EzNorm") else ()

    def of(x: Tensor, *weights: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x, *others))
        return y

    inputs = (x, *layer.parameters())
    assert torch.autograd.gradcheck(of, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(of, inputs, fast_mode=True)


# How weights begin.


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Linear(300, 200), 300, 200),
        (nn.Conv1d(60, 80, 5), 300, 400),
        (nn.Conv2d(60, 80, 3, groups=2), 270, 360),
        (nn.ConvTranspose2d(60, 80, 3), 540, 720),
        (nn.Conv2d(60, 80, 3, stride=2), 540, 180),
        (nn.ConvTranspose2d(60, 80, 4, stride=2), 240, 1280),
        (nn.ConvTranspose1d(60, 80, 6, stride=3, groups=2), 60, 240),
    ],
)
def test_fans(layer: nn.Module, fan_in: int, fan_out: int) -> None:
    nn.init.ones_(layer.bias)
    assert xavier_(layer, gain=2) is layer
    assert layer.weight.std().item() == pytest.approx(2 * sqrt(2 / (fan_in + fan_out)), rel=0.02)
    assert layer.bias.abs().max() == 0
    kaiming_(layer, slope=0.5)
    assert layer.weight.std().item() == pytest.approx(sqrt(2 / (1.25 * fan_in)), rel=0.02)
    assert abs(layer.weight.mean().item()) < 0.005


def test_kaiming_keeps_the_signal_of_relus() -> None:
    """What it is for: the second moment of ten layers of ReLUs stays what it was."""
    network = kaiming_(nn.Sequential(*[part for _ in range(10) for part in (nn.Linear(500, 500), nn.ReLU())]))
    x = torch.randn(100, 500)
    assert network(x).square().mean().item() == pytest.approx(1, rel=0.35)


@pytest.mark.parametrize(("taps", "stride"), [(4, 2), (3, 2), (3, 1), (6, 3)])
def test_strides_keep_the_signal(taps: int, stride: int) -> None:
    """Of a transposed convolution each output is a sum over the taps that meet it, on average one in so many strides.

    Xavier's other side is the gradient of a convolution, which is a transposed one.
    """
    up = kaiming_(nn.ConvTranspose2d(64, 64, taps, stride, padding=taps, bias=False))
    y = up(torch.randn(4, 64, 24, 24).relu() * sqrt(2))
    assert y.square().mean().item() == pytest.approx(2, rel=0.1)
    down = xavier_(nn.Conv2d(64, 64, taps, stride, padding=0, bias=False))
    x = torch.randn(4, 64, 48, 48, requires_grad=True)
    y = down(x)
    (gradient,) = torch.autograd.grad(y, x, torch.randn_like(y))
    inside = gradient[:, :, 2 * taps : -2 * taps, 2 * taps : -2 * taps]
    forward, backward = y.square().mean().item(), inside.square().mean().item()
    assert forward + backward == pytest.approx(2, rel=0.1)
    assert forward / backward == pytest.approx(stride**2, rel=0.15)


def test_orthogonal() -> None:
    wide, tall = orthogonal_(nn.Linear(30, 20)), orthogonal_(nn.Conv2d(2, 40, 3), gain=3)
    torch.testing.assert_close(wide.weight @ wide.weight.T, torch.eye(20), atol=1e-5, rtol=0)
    matrix = tall.weight.flatten(1)
    torch.testing.assert_close(matrix.T @ matrix, 9 * torch.eye(18), atol=1e-4, rtol=0)


def test_normal_draws_batch_norms_too() -> None:
    network = normal_(
        nn.Sequential(nn.Conv2d(50, 50, 3), nn.BatchNorm2d(5000), nn.BatchNorm2d(3, affine=False)), 1.0, 0.5
    )
    assert network[0].weight.mean().item() == pytest.approx(1.0, abs=0.02)
    assert network[0].weight.std().item() == pytest.approx(0.5, rel=0.02)
    assert network[1].weight.mean().item() == pytest.approx(1.0, abs=0.03)
    assert network[1].weight.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("is_training", [True, False])
def test_layers_under_spectral_norm_are_drawn(name: str, is_training: bool) -> None:
    """The learned weight is new, and divided by its own norm, not by that of the weight before."""
    layer = spectral_norm(nn.Linear(20, 10)).train(is_training)
    before = layer.parametrizations.weight.original.clone()
    INITIALIZERS[name](layer)
    original = layer.parametrizations.weight.original
    assert not torch.equal(before, original)
    assert original.requires_grad
    assert layer.training is is_training
    layer.eval()
    torch.testing.assert_close(layer.weight, original / torch.linalg.matrix_norm(original, 2), atol=0.02, rtol=0)


def test_layers_under_weight_norm_are_drawn() -> None:
    layer = orthogonal_(weight_norm(nn.Linear(20, 10)))
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(10), atol=1e-5, rtol=0)


class OwnScaled(nn.Conv2d):
    """A layer of one's own that scales its weight at run time, and says so."""

    weight_scale = 0.1


SCALED = {
    "EqualLinear": lambda: EqualLinear(4, (3,)),
    "EqualConv2d": lambda: EqualConv2d(4, 3, 3),
    "ModulatedConv2d": lambda: ModulatedConv2d(4, 3, 5),
    "one's own": lambda: OwnScaled(4, 3, 3),
    "a progressive generator": lambda: progressive_generator(4, (1, 8, 8), width=4),
    "a progressive discriminator": lambda: progressive_discriminator((1, 8, 8), width=4),
}


@pytest.mark.parametrize("make", SCALED.values(), ids=SCALED)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_weights_that_are_scaled_at_run_time_stay(name: str, make: Callable[[], nn.Module]) -> None:
    module = make()
    before = deepcopy(module.state_dict())
    INITIALIZERS[name](module)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
