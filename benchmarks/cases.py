"""What is timed: the networks, data and method of each case, and the loop by hand that trains the same."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, cycle, repeat

import torch
from torch import Tensor, nn

import inlined
import plain
from plain import Game, Step
from poise.balance import Alternating, Balance, Balanced
from poise.models import (
    dcgan_discriminator,
    dcgan_generator,
    mlp_discriminator,
    mlp_generator,
    resnet_discriminator,
    resnet_generator,
)

__all__ = ["CASES", "Case"]

Networks = Callable[[], tuple[nn.Module, nn.Module]]

# Batches of real samples that are made ahead and shown in turns.
POOL = 4


def seeded(networks: Networks, seed: int) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks()


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        what: in words.
        networks: makes generator and discriminator.
        shape: of a sample.
        z_dim: of a latent.
        batch: samples a batch.
        plain: the loop by hand.
        loss: the name of poise's loss.
        penalties: the weights of poise's penalties by name.
        balance: makes poise's policy.
        adam: the settings of both optimizers.
        further: more loops by hand, by name, that are timed beside.
        same_training: of ``further``, those that come to the plain loop's weights.
        peeks: batches that the loop by hand takes where poise takes one.
    """

    what: str
    networks: Networks
    shape: tuple[int, ...]
    z_dim: int
    batch: int
    plain: Callable[[Game], Step]
    loss: str
    penalties: Mapping[str, float] = field(default_factory=dict)
    balance: Callable[[], Balance] = Alternating
    adam: Mapping[str, object] = field(default_factory=lambda: {"lr": 2e-4, "betas": (0.5, 0.999)})
    further: Mapping[str, Callable[[Game], Step]] = field(default_factory=dict)
    same_training: frozenset[str] = frozenset()
    peeks: int = 1

    def fresh_networks(self) -> tuple[nn.Module, nn.Module]:
        """The networks, always with the same weights."""
        return seeded(self.networks, 0)

    @torch.no_grad()
    def reals(self, device: str) -> list[Tensor]:
        """Batches of real samples: points of a 5 x 5 grid, or what a generator with other weights makes.

        Samples that a generator can make keep the game alive however long it is timed.
        """
        draw = torch.Generator().manual_seed(1)
        if self.shape == (2,):
            grid = torch.randint(-2, 3, (POOL, self.batch, 2), generator=draw)
            return list((grid + 0.05 * torch.randn(grid.shape, generator=draw)).to(device))
        teacher, _ = seeded(self.networks, 1)
        latents = torch.randn(POOL, self.batch, self.z_dim, generator=draw)
        return [teacher(z).contiguous().to(device) for z in latents]

    def game(self, reals: list[Tensor], peeks: int = 1) -> Game:
        """Fresh networks beside real samples, on whose device they are put; each batch is shown ``peeks`` times."""
        device = reals[0].device
        generator, discriminator = (network.to(device) for network in self.fresh_networks())
        return Game(
            generator,
            discriminator,
            reals=_shown(reals, peeks),
            latents=partial(torch.randn, self.batch, self.z_dim, device=device),
            adam=partial(torch.optim.Adam, **self.adam),
        )


def _shown(reals: list[Tensor], times: int) -> Iterator[Tensor]:
    return chain.from_iterable(repeat(real, times) for real in cycle(reals))


def _mlp_784() -> tuple[nn.Module, nn.Module]:
    return mlp_generator(100, (784,), width=256, depth=1), mlp_discriminator((784,), width=256, depth=1)


def _mlp_grid() -> tuple[nn.Module, nn.Module]:
    return mlp_generator(2, (2,), width=128, depth=3), mlp_discriminator((2,), width=128, depth=3)


def _dcgan(norm: str) -> tuple[nn.Module, nn.Module]:
    shape = (3, 32, 32)
    return dcgan_generator(100, shape, width=64), dcgan_discriminator(shape, width=64, norm=norm)


def _resnet() -> tuple[nn.Module, nn.Module]:
    shape = (3, 32, 32)
    return resnet_generator(128, shape), resnet_discriminator(shape, spectral_norm=True)


_IMAGES = {"shape": (3, 32, 32), "z_dim": 100, "batch": 64}

CASES = {
    "a": Case(
        what="WGAN-GP, MLP 100-256-784 / 784-256-1, batch 64, 5 critic steps",
        networks=_mlp_784,
        shape=(784,),
        z_dim=100,
        batch=64,
        plain=partial(plain.wgan_gp, d_steps=5),
        loss="wasserstein",
        penalties={"wgan_gp": 10.0},
        balance=partial(Alternating, d_steps=5),
        adam={"lr": 1e-4, "betas": (0.5, 0.9)},
    ),
    "b": Case(
        what="DCGAN 32x32x3, width 64, batch 64, vanilla",
        networks=partial(_dcgan, "batch"),
        **_IMAGES,
        plain=plain.dcgan,
        loss="vanilla",
        further={
            "plain, fakes reused": plain.dcgan_reusing_fakes,
            "inlined fp32": partial(inlined.dcgan, precision="fp32"),
            "inlined bf16": partial(inlined.dcgan, precision="bf16"),
        },
        same_training=frozenset({"inlined fp32", "inlined bf16"}),
    ),
    "c": Case(
        what="DCGAN 32x32x3, width 64, batch 64, WGAN-GP, no batch norm in D",
        networks=partial(_dcgan, "none"),
        **_IMAGES,
        plain=partial(plain.wgan_gp, d_steps=1),
        loss="wasserstein",
        penalties={"wgan_gp": 10.0},
        adam={"lr": 1e-4, "betas": (0.5, 0.9)},
    ),
    "d": Case(
        what="2-D grid of 25 modes, MLP 3x128, batch 256, RpGAN + R1 + R2",
        networks=_mlp_grid,
        shape=(2,),
        z_dim=2,
        batch=256,
        plain=plain.rpgan_r1_r2,
        loss="relativistic",
        penalties={"r1": 1.0, "r2": 1.0},
        adam={"lr": 2e-4, "betas": (0.0, 0.95)},
    ),
    "e": Case(
        what="Balanced on (b), against a loop that decides on one batch and trains on a second",
        networks=partial(_dcgan, "batch"),
        **_IMAGES,
        plain=plain.balanced,
        loss="vanilla",
        balance=Balanced,
        peeks=2,
    ),
    "f": Case(
        what="ResNet 32x32x3, batch 64, hinge, spectral norm in D",
        networks=_resnet,
        shape=(3, 32, 32),
        z_dim=128,
        batch=64,
        plain=plain.hinge,
        loss="hinge",
        adam={"lr": 2e-4, "betas": (0.0, 0.9)},
    ),
}
"""Every case by its letter."""
