"""DCGAN's step written out by hand and optimized by hand: what a trainer is to cost nothing over.

Channels-last memory, fused Adam, no graph behind D's fakes, no gradients of the weights of a player that stands still;
in bfloat16 the networks' passes run under autocast, with logits and losses in float32. With the moving average of G's
weights, as a trainer of GANs keeps it, and without logs, checks and randomness that follows from the step.
"""

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from plain import Game, Step

__all__ = ["dcgan"]

# How far the average moves in a step of 64 images, with a half-life of 10,000.
AVERAGE_BY = 1 - 0.5 ** (64 / 10_000)


def averaged_tensors(network: nn.Module) -> list[Tensor]:
    return [it.detach() for it in (*network.parameters(), *network.buffers()) if it.is_floating_point()]


def dcgan(game: Game, precision: str) -> Step:
    """The non-saturating loss, new fakes for each player; in ``fp32`` or ``bf16``."""
    generator = game.generator.to(memory_format=torch.channels_last)
    discriminator = game.discriminator.to(memory_format=torch.channels_last)
    adam = partial(game.adam, fused=True)
    d_optimizer, g_optimizer = adam(discriminator.parameters()), adam(generator.parameters())
    averages, values = averaged_tensors(deepcopy(generator)), averaged_tensors(generator)
    device = next(generator.parameters()).device.type
    is_mixed = precision == "bf16"
    autocast = partial(torch.autocast, device, torch.bfloat16, enabled=is_mixed)

    def full(tensor: Tensor) -> Tensor:
        return tensor.float() if is_mixed else tensor

    def step() -> None:
        real = next(game.reals).to(memory_format=torch.channels_last)
        with autocast():
            with torch.no_grad():
                fake = generator(game.latents())
            real_logits, fake_logits = discriminator(real), discriminator(fake)
        d_loss = softplus(-full(real_logits)).mean() + softplus(full(fake_logits)).mean()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        discriminator.requires_grad_(False)
        with autocast():
            fake_logits = discriminator(generator(game.latents()))
        g_loss = softplus(-full(fake_logits)).mean()
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        discriminator.requires_grad_(True)

        torch._foreach_lerp_(averages, values, AVERAGE_BY)

    return step
