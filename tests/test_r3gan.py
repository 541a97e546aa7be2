"""R3GAN's networks: the paper's sizes, initial weights, resampling, and what is refused."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, pad

from poise.errors import ConfigError
from poise.models import PRESETS, kaiming_, r3gan_discriminator, r3gan_generator, spectral_norm_

SHAPE = (3, 32, 32)


def pair(shape: tuple[int, ...] = SHAPE, z_dim: int = 64, **options: Any) -> tuple[nn.Sequential, nn.Sequential]:
    return r3gan_generator(z_dim, shape, **options), r3gan_discriminator(shape, **options)


def blocks(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.children() if hasattr(layer, "residual")]


def widths(network: nn.Module) -> list[int]:
    return [block.residual[0].in_channels for block in blocks(network)]


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def resamplers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.children() if type(layer).__name__ == "_Resample"]


# Sizes.


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ("base", 32, [768] * 4),
        ("base", 64, [768] * 4 + [384]),
        ("base", 256, [768] * 4 + [384, 192, 96]),
        ("large", 64, [1536] * 4 + [768]),
    ],
)
def test_the_papers_sizes(size: Any, side: int, expected: list[int]) -> None:
    """Two blocks a stage, twice as wide inside, in groups of 16 channels; the discriminator is the mirror image."""
    with torch.device("meta"):
        g, d = pair((3, side, side), size=size)
    doubled = [width for width in expected for _ in range(2)]
    assert widths(g) == doubled
    assert widths(d) == doubled[::-1]
    for block in (*blocks(g), *blocks(d)):
        first, _, grouped, _, last = block.residual
        assert first.out_channels == grouped.out_channels == last.in_channels == 2 * first.in_channels
        assert grouped.in_channels // grouped.groups == 16
        assert last.bias is None
    if (size, side) == ("base", 32):
        block = 2 * 768 * 1536 + 16 * 9 * 1536 + 2 * 1536
        assert weights(g) == 8 * block + 768 * (16 + 64) + 768 * 3 + 3
        assert weights(d) == 8 * block + 768 * 16 + 768 + 1 + 768 * 3 + 768


def test_sizes_grow() -> None:
    with torch.device("meta"):
        counts = [[weights(it) for it in pair(size=size)] for size in ("nano", "tiny", "small", "base", "large")]
    assert all(2 * before[player] < after[player] for before, after in pairwise(counts) for player in (0, 1))
    assert max(counts[0]) < 100_000


def test_options_replace_those_of_a_size() -> None:
    for network in pair(size="nano", width=96, blocks=3, group_width=6):
        assert sorted(widths(network), reverse=True) == [width for width in (96, 48, 24, 12) for _ in range(3)]
        for block in blocks(network):
            grouped = block.residual[2]
            assert grouped.in_channels // grouped.groups == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "nanno"}, r"size: there is no size 'nanno' \(did you mean 'nano'\?\)"),
        ({"blocks": 0}, "blocks is 0; it must be at least 1"),
        ({"group_width": 0}, "group_width is 0; it must be at least 1"),
        ({"width": 64, "group_width": 24}, "group_width is 24; it must divide the 128 channels inside the blocks of a"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    for build in (lambda: r3gan_generator(4, SHAPE, **options), lambda: r3gan_discriminator(SHAPE, **options)):
        with pytest.raises(ConfigError, match=words):
            build()


# Initial weights.


def test_blocks_begin_as_the_identity() -> None:
    for network in pair(size="tiny"):
        for block in blocks(network):
            features = torch.randn(2, block.residual[0].in_channels, 4, 4)
            assert torch.equal(block(features), features)


def test_fix_up() -> None:
    """Inside blocks He's variance for a leaky ReLU, times L ** -0.5 for L blocks; elsewhere 1 / fan in."""
    torch.manual_seed(0)
    for network in pair(size="tiny", blocks=2):
        count = len(blocks(network))
        assert count == 8
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_in = layer.weight[0].numel()
                is_inside = "residual" in name
                expected = 2 / (1 + 0.2**2) / count**0.5 / fan_in if is_inside else 1 / fan_in
                if name.endswith("residual.4"):
                    expected = 0.0
                if layer.weight.numel() > 2000:
                    assert layer.weight.var().item() == pytest.approx(expected, rel=0.15), name
                if layer.bias is not None:
                    assert not layer.bias.any()


@pytest.mark.parametrize("size", ["nano", "tiny", "small"])
def test_what_passes_has_a_variance_near_1(size: Any) -> None:
    torch.manual_seed(0)
    g, d = pair(size=size)
    images = g(torch.randn(64, 64))
    assert 0.3 < images.std() < 2
    assert 0.1 < d(images / images.std()).std() < 2


def test_initializers_leave_the_maps() -> None:
    network = r3gan_generator(8, (3, 8, 8), width=8)
    maps = network[0].maps.clone()
    kaiming_(network)
    assert torch.equal(network[0].maps, maps)
    assert all(block.residual[4].weight.any() for block in blocks(network))


def test_spectral_norm_of_zeros_is_refused() -> None:
    network = r3gan_discriminator((3, 8, 8), width=8)
    with pytest.raises(
        ConfigError, match="the weight of a _Pointwise begins at 0, which has no direction to keep: leave"
    ):
        spectral_norm_(network)
    images = torch.randn(2, 3, 8, 8)
    assert spectral_norm_(kaiming_(r3gan_discriminator((3, 8, 8), width=8)))(images).isfinite().all()


# What layers compute.


def test_a_block_by_hand() -> None:
    network = r3gan_discriminator((3, 8, 8), width=16)
    block = kaiming_(blocks(network)[0])
    features = torch.randn(2, 8, 8, 8)
    first, _, grouped, _, last = block.residual
    inside = leaky_relu(conv2d(features, first.weight, first.bias), 0.2)
    inside = leaky_relu(conv2d(inside, grouped.weight, grouped.bias, padding=1, groups=grouped.groups), 0.2)
    torch.testing.assert_close(block(features), features + conv2d(inside, last.weight))


def test_resampling_is_bilinear() -> None:
    g, d = pair((3, 16, 16), width=8)
    ups, downs = resamplers(g), resamplers(d)
    assert [repr(it) for it in (*ups, *downs)] == [
        f"_Resample({way})" for way in ("4 -> 8", "8 -> 16", "16 -> 8", "8 -> 4")
    ]
    features = torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(ups[1](features), interpolate(features, scale_factor=2, mode="bilinear"))
    images = torch.randn(2, 5, 16, 16)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps).expand(5, 1, 4, 4)
    torch.testing.assert_close(
        downs[0](images), conv2d(pad(images, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=5)
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_resampling_is_differentiable(layout: torch.memory_format) -> None:
    up = resamplers(r3gan_generator(4, (1, 8, 8), width=2))[0].double()
    features = torch.randn(2, 2, 4, 4, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: up(x).sin(), features)


def test_the_first_maps_are_linear_in_z() -> None:
    basis = r3gan_generator(6, (3, 8, 8), width=8)[0]
    z = torch.randn(3, 6)
    torch.testing.assert_close(basis(2 * z), 2 * basis(z))
    expected = torch.einsum("chw,cz,nz->nchw", basis.maps, basis.modulation.weight, z)
    torch.testing.assert_close(basis(z), expected)


def test_each_sample_is_judged_by_itself() -> None:
    torch.manual_seed(0)
    d = kaiming_(r3gan_discriminator((3, 16, 16), width=8))
    images = torch.randn(5, 3, 16, 16)
    alone: Tensor = torch.cat([d(image[None]) for image in images])
    torch.testing.assert_close(d(images), alone)


def test_it_is_a_preset() -> None:
    assert PRESETS["r3gan"] == (r3gan_generator, r3gan_discriminator)
