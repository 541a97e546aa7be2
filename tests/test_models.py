"""Presets: shapes, initial weights, and what they refuse."""

import pytest
import torch
from torch import nn

from poise.errors import ShapeError
from poise.models import PRESETS, dcgan_discriminator, dcgan_generator, mlp_generator, normal_

SHAPES = {
    "mlp": [(2,), (7,), (1, 8, 8)],
    "dcgan": [(channels, side, side) for channels in (1, 3, 4) for side in (8, 16, 32, 64, 128)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]


def test_every_preset_is_here() -> None:
    assert set(SHAPES) == set(PRESETS)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_shapes_and_gradients(name: str, shape: tuple[int, ...]) -> None:
    generator = PRESETS[name].generator(z_dim=6, shape=shape, width=4)
    discriminator = PRESETS[name].discriminator(shape=shape, width=4)
    samples = generator(torch.randn(3, 6))
    assert samples.shape == (3, *shape)
    if len(shape) == 3:
        assert samples.abs().max() <= 1
    logits = discriminator(samples)
    assert logits.shape == (3, 1)
    logits.sum().backward()
    for network in (generator, discriminator):
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_dcgan_is_the_papers_at_64() -> None:
    """Figure 1 of the paper: 4 x 4 x 1024 up to 64 x 64 x 3, at width 128."""
    generator = dcgan_generator(100, (3, 64, 64), width=128)
    ups = [layer for layer in generator if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in ups] == [1024, 512, 256, 128, 3]


def test_initial_weights() -> None:
    torch.manual_seed(0)
    discriminator = dcgan_discriminator((3, 64, 64))
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(layer.weight.mean().item()) < 0.001
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert layer.bias.abs().max() == 0


def test_normal_std() -> None:
    layer = normal_(nn.Linear(200, 200), std=0.5)
    assert layer.weight.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("shape", [(3, 48, 48), (3, 32, 64), (2, 32, 32), (3, 256, 256), (2,)])
def test_dcgan_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="dcgan makes images of 1, 3 or 4 channels"):
        dcgan_generator(8, shape)


def test_norm_none_has_no_batch_norm() -> None:
    network = dcgan_discriminator((1, 32, 32), norm="none")
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_no_activation_is_shared() -> None:
    layers = list(mlp_generator(4, (2,)).modules())
    assert len(layers) == len({id(layer) for layer in layers})
