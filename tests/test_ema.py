"""The moving average against its formula."""

import pytest
import torch
from torch import nn

from poise.ema import Ema, decay


def test_half_life() -> None:
    assert decay(10_000, 10**9, half_life_kimg=10, ramp_up=None) == 0.5
    assert decay(64, 10**9, half_life_kimg=10, ramp_up=None) == pytest.approx(0.5 ** (64 / 10_000))


def test_ramp_up_shortens_the_half_life_of_a_young_training() -> None:
    assert decay(50, 1000, half_life_kimg=10, ramp_up=0.05) == 0.5  # half-life: 5 % of 1,000 images
    assert decay(64, 10**9, half_life_kimg=10, ramp_up=0.05) == decay(64, 10**9, 10, None)


def test_no_averaging() -> None:
    assert decay(64, 64, half_life_kimg=0, ramp_up=None) == 0.0


def test_constant_steps_of_half_a_life() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(half_life_kimg=1, ramp_up=None)
    average = ema.follow(module)
    nn.init.ones_(module.weight)
    seen = []
    for nimg in (1000, 2000, 3000):
        ema.update(1000, nimg)
        seen.append(average.weight.item())
    assert seen == [0.5, 0.75, 0.875]


def test_buffers() -> None:
    module = nn.BatchNorm1d(2)
    ema = Ema(half_life_kimg=1, ramp_up=None)
    average = ema.follow(module)
    module.running_mean.fill_(4.0)
    module.num_batches_tracked.fill_(7)
    ema.update(1000, 1000)
    assert average.running_mean.tolist() == [2.0, 2.0]
    assert average.num_batches_tracked.item() == 7


def test_the_average_is_apart() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    average = Ema().follow(module)
    assert not average.training
    assert module.training
    assert not any(weight.requires_grad for weight in average.parameters())
    assert all(weight.requires_grad for weight in module.parameters())
    assert not {w.data_ptr() for w in average.parameters()} & {w.data_ptr() for w in module.parameters()}


def test_zero_half_life_follows_at_once() -> None:
    module = nn.Linear(2, 2)
    ema = Ema(half_life_kimg=0)
    average = ema.follow(module)
    nn.init.normal_(module.weight)
    ema.update(64, 64)
    assert torch.equal(average.weight, module.weight)


@pytest.mark.parametrize(
    ("options", "words"), [({"half_life_kimg": -1}, "half_life_kimg is -1"), ({"ramp_up": 0}, "none")]
)
def test_out_of_range(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Ema(**options)
