"""Training loops as people write them by hand: eager PyTorch, contiguous float32, the optimizers' default settings.

Each takes a :class:`Game` and gives a function that carries out one step. They do what a careful tutorial does, and
nothing that costs time for nothing: fakes are detached where only D learns, no number is read back, and logits that a
penalty can use again are used again. What they leave out is what has to be thought of: D's weights get gradients in G's
update too, memory is not channels-last, Adam is not fused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus
from torch.optim import Optimizer

__all__ = [
    "DLoss",
    "GLoss",
    "Game",
    "Step",
    "alternating",
    "balanced",
    "dcgan",
    "dcgan_reusing_fakes",
    "hinge",
    "rpgan_r1_r2",
    "wgan_gp",
]

Step = Callable[[], object]


@dataclass(frozen=True)
class Game:
    """Two networks on a device, before any loop trains them, and what they train on.

    Attributes:
        generator: latents ``(n, z_dim)`` to samples ``(n, ...)``.
        discriminator: samples to logits ``(n, 1)``.
        reals: endless batches of real samples.
        latents: draws a batch of latents.
        adam: makes the optimizer of a network's weights.
    """

    generator: nn.Module
    discriminator: nn.Module
    reals: Iterator[Tensor]
    latents: Callable[[], Tensor]
    adam: Callable[..., Optimizer]


DLoss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""D's objective, ``()``, of D, real samples and fakes that are constants."""

GLoss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""G's objective, ``()``, of D, real samples and fakes."""


def minimize(loss: Tensor, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def alternating(game: Game, d_loss: DLoss, g_loss: GLoss, d_steps: int = 1) -> Step:
    """D ``d_steps`` times on new samples, then G on new fakes: algorithm 1 of Goodfellow et al. 2014."""
    generator, discriminator = game.generator, game.discriminator
    d_optimizer, g_optimizer = game.adam(discriminator.parameters()), game.adam(generator.parameters())

    def step() -> None:
        for _ in range(d_steps):
            real = next(game.reals)
            fake = generator(game.latents()).detach()
            minimize(d_loss(discriminator, real, fake), d_optimizer)
        minimize(g_loss(discriminator, real, generator(game.latents())), g_optimizer)

    return step


# Binary cross-entropy, G's non-saturating.


def bce_d(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    on_reals = binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    on_fakes = binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return on_reals + on_fakes


def bce_g(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    fake_logits = discriminator(fake)
    return binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def dcgan(game: Game) -> Step:
    """DCGAN with the non-saturating loss; new fakes for each player."""
    return alternating(game, bce_d, bce_g)


def dcgan_reusing_fakes(game: Game) -> Step:
    """The same, but G learns from the very fakes that D has just learnt from: one pass of G a step.

    PyTorch's own DCGAN tutorial does so. It is another training, as D has seen these fakes.
    """
    generator, discriminator = game.generator, game.discriminator
    d_optimizer, g_optimizer = game.adam(discriminator.parameters()), game.adam(generator.parameters())

    def step() -> None:
        real, fake = next(game.reals), generator(game.latents())
        minimize(bce_d(discriminator, real, fake.detach()), d_optimizer)
        minimize(bce_g(discriminator, real, fake), g_optimizer)

    return step


def balanced(game: Game, imbalance: float = 0.1) -> Step:
    """Of DCGAN's players the one that is behind: decided on one batch, trained on a second."""
    generator, discriminator = game.generator, game.discriminator
    d_optimizer, g_optimizer = game.adam(discriminator.parameters()), game.adam(generator.parameters())

    def d_is_behind() -> bool:
        with torch.no_grad():
            real_logits = discriminator(next(game.reals))
            fake_logits = discriminator(generator(game.latents()))
        return bool(real_logits.mean() < fake_logits.mean() + imbalance)

    def step() -> None:
        d_moves = d_is_behind()
        real, fake = next(game.reals), generator(game.latents())
        if d_moves:
            minimize(bce_d(discriminator, real, fake.detach()), d_optimizer)
        else:
            minimize(bce_g(discriminator, real, fake), g_optimizer)

    return step


# The Wasserstein distance with a gradient penalty.


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    alpha = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_()
    logits = discriminator(between)
    (gradients,) = torch.autograd.grad(logits, between, grad_outputs=torch.ones_like(logits), create_graph=True)
    return (gradients.flatten(1).norm(2, dim=1) - 1).square().mean()


def wgan_gp_d(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    distance = discriminator(real).mean() - discriminator(fake).mean()
    return -distance + 10 * gradient_penalty(discriminator, real, fake)


def wgan_g(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return -discriminator(fake).mean()


def wgan_gp(game: Game, d_steps: int) -> Step:
    """WGAN-GP with a weight of 10."""
    return alternating(game, wgan_gp_d, wgan_g, d_steps)


# Relativistic pairs with zero-centred penalties at reals and fakes.


def zero_centred(logits: Tensor, samples: Tensor) -> Tensor:
    (gradients,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return 0.5 * gradients.square().flatten(1).sum(1).mean()


def rpgan_r1_r2_d(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    real, fake = real.detach().requires_grad_(), fake.requires_grad_()
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    penalties = zero_centred(real_logits, real) + zero_centred(fake_logits, fake)
    return softplus(fake_logits - real_logits).mean() + penalties


def rpgan_g(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return softplus(discriminator(real).detach() - discriminator(fake)).mean()


def rpgan_r1_r2(game: Game) -> Step:
    """The relativistic pairing loss with R1 and R2, a gamma of 1 each."""
    return alternating(game, rpgan_r1_r2_d, rpgan_g)


# Hinge.


def hinge_d(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    # In one pass: in two, a spectral norm would go on twice, and the training would be another one.
    real_logits, fake_logits = discriminator(torch.cat([real, fake])).chunk(2)
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def hinge(game: Game) -> Step:
    """The hinge loss."""
    return alternating(game, hinge_d, wgan_g)
