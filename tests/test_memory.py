"""What is done for memory: layers computed again, and batches as large as fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poise.config import build
from poise.constraints import Constrained, spectral_norm
from poise.data import Data, load
from poise.errors import ConfigError, DeviceError
from poise.models import dcgan_discriminator, dcgan_generator, mlp_generator, recompute_, resnet_discriminator
from poise.penalties import PENALTIES, Weighted
from poise.recipes import resolve
from poise.runs import Run
from poise.session import Session, settled
from poise.trainer import Trainer, capacity, largest_batch, make_fabric

SHAPE = (3, 16, 16)


def play(again: bool, discriminator: Callable[..., nn.Module] = dcgan_discriminator, **options: Any) -> Trainer:
    """Three steps, with or without activations computed again."""
    torch.manual_seed(0)
    networks = dcgan_generator(4, SHAPE, width=8), discriminator(SHAPE, width=8)
    if again:
        for network in networks:
            recompute_(network)
    trainer = Trainer(*networks, z_dim=4, fabric=make_fabric("cpu"), **options)
    for index in range(3):
        trainer.step(torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(index)))
    return trainer


def dropping(shape: tuple[int, ...], width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, 1))


@pytest.mark.parametrize(
    ("discriminator", "options"),
    [
        (dcgan_discriminator, {}),
        (dropping, {}),
        (resnet_discriminator, {"penalties": {"wgan_gp": Weighted(PENALTIES["wgan_gp"], 10.0)}}),
        (resnet_discriminator, {"constraints": [Constrained(spectral_norm())]}),
    ],
    ids=["batch norm", "dropout", "second derivatives", "spectral norm"],
)
def test_what_is_computed_again_is_the_same(discriminator: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    kept, again = (play(it, discriminator, **options) for it in (False, True))
    for network in ("generator", "discriminator", "average"):
        states = (getattr(it, network).state_dict() for it in (kept, again))
        for (name, left), right in zip(next(states).items(), next(states).values(), strict=True):
            torch.testing.assert_close(left, right, msg=f"{network}.{name}")


def test_computing_again_keeps_less() -> None:
    def kept_for_gradients(network: nn.Module) -> int:
        weights = {id(it) for it in network.parameters()}
        sizes: dict[int, int] = {}

        def keep(it: Tensor) -> Tensor:
            if id(it) not in weights:
                sizes[it.data_ptr()] = it.untyped_storage().nbytes()
            return it

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda it: it):
            network(torch.randn(8, 16))
        return sum(sizes.values())

    def deep() -> nn.Sequential:
        return nn.Sequential(*(layer for _ in range(18) for layer in (nn.Linear(16, 16), nn.Tanh())))

    plain, again = deep(), deep()
    recompute_(again)
    assert kept_for_gradients(again) < kept_for_gradients(plain) / 4


def test_networks_that_are_no_sequence() -> None:
    class Own(nn.Module):
        pass

    with pytest.raises(ConfigError, match=r"is for networks that are a sequence .* this one is a Own: leave it out"):
        recompute_(Own())


def test_networks_that_compute_again_are_a_setting(points: Data) -> None:
    config = resolve(points, None, {"steps": 1}, ["activation_checkpointing=true"])
    trainer = build(config, points.shape, make_fabric("cpu"))
    assert type(trainer.generator).__name__ == type(trainer.discriminator).__name__ == "_Recomputed"
    images = load(np.zeros((8, 1, 8, 8), np.uint8))
    config = resolve(images, None, {"steps": 1}, ["activation_checkpointing=true", "discriminator=began"])
    with pytest.raises(ConfigError, match="discriminator: activation_checkpointing is for networks that are a seq"):
        build(config, images.shape, make_fabric("cpu"))


# The largest batch.


@pytest.fixture(scope="module")
def points() -> Data:
    return load(np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32))


class Machine:
    """A machine whose memory is what batches take: ``each`` bytes a sample."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, each: int = 10) -> None:
        self.peak = 1000
        self.batches: list[int] = []
        self._each = each
        monkeypatch.setattr(capacity, "_free_bytes", lambda: free)
        monkeypatch.setattr(capacity, "_peak_bytes", lambda: self.peak)
        step = Trainer.step

        def spying(trainer: Trainer, real: Tensor) -> dict[str, Tensor]:
            if isinstance(real, Tensor):  # in trials; fit gives an iterator
                self.batches.append(len(real))
                self.peak = max(self.peak, 1000 + self._each * len(real))
            return step(trainer, real)

        monkeypatch.setattr(Trainer, "step", spying)


def vectors() -> Trainer:
    return Trainer(mlp_generator(4, (2,)), nn.Linear(2, 1), z_dim=4, fabric=make_fabric("cpu"))


def test_the_largest_batch_leaves_memory_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, free=1000)
    # 64 samples took 320 bytes more than 32, so 128 would take 640 more, of 800; after these, 1,280 do not fit.
    assert largest_batch(vectors, (2,)) == 64
    assert machine.batches == [1, 2, 4, 8, 16, 32, 64, 128]


def test_the_largest_batch_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=10**9)
    assert largest_batch(vectors, (2,)) == 1024
    assert largest_batch(vectors, (2,), limit=100) == 64


def test_no_batch_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=5)
    with pytest.raises(DeviceError, match="not even a batch of 1 fits in memory: take a smaller size, or narrower"):
        largest_batch(vectors, (2,))


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(capacity, "_MEMINFO", tmp_path / "none")
    with pytest.raises(DeviceError, match="does not say how much memory is free: give --batch a number"):
        largest_batch(vectors, (2,))


def test_this_machine_has_a_largest_batch() -> None:
    assert largest_batch(vectors, (2,), limit=8) == 8


def test_a_batch_is_settled_once(points: Data, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, free=1000)
    run = Run(tmp_path / "r")
    config = resolve(points, None, {"steps": 2, "batch": "auto"}, [])
    first = settled(config, run, points, "cpu")
    assert first.batch == 64
    Session(first, points, run, device="cpu").train()
    machine.batches.clear()
    assert settled(config, run, points, "cpu").batch == 64
    assert machine.batches == []
    assert settled(first, run, points, "cpu") is first


def test_batch_auto_by_the_command_line(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, free=1000)
    assert ", batch 64\n" in poise("train", "ring8", "--batch", "auto", "--steps", "2").stdout
    machine.batches.clear()
    assert ", batch 64\nGoing on from step 2" in poise("train", "ring8", "--batch", "auto", "--steps", "3").stdout
    assert machine.batches == []


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ("0", "batch is 0: input should be greater than 0"),
        ("many", "batch is 'many': input should be a number or auto"),
    ],
)
def test_batches_that_are_none(poise: Any, batch: str, words: str) -> None:
    assert words in poise("train", "ring8", "--batch", batch, code=2).stderr
