"""What a step of poise costs over the bare PyTorch calls that it makes.

Two trainings of the same networks on the same batches run in turns in one process: ``Trainer.step``, and a loop written
out by hand that makes the same PyTorch calls (forward passes, losses, logged means, gradients and their norms, fused
Adam, the moving average) and nothing else. Given the same latents, both come to the same weights, which is checked
first. The networks are so small that Python is most of the time. Prints microseconds a step as medians over rounds, and
their difference; exits 1 when that is above the limit.

    python benchmarks/overhead.py [--rounds 60] [--json overhead.json]
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from poise.ema import decay
from poise.models import mlp_discriminator, mlp_generator
from poise.penalties import PENALTIES, Weighted, gradient_penalty
from poise.trainer import Trainer, make_fabric

BATCH, Z_DIM, STEPS = 64, 8, 50
CHECKED_STEPS, TOLERANCE = 20, 1e-5
LIMIT_MICROSECONDS = 150.0

adam = partial(torch.optim.Adam, lr=1e-4, betas=(0.5, 0.999), fused=True)


def norm_of(network: nn.Module) -> Tensor:
    gradients = [weight.grad for weight in network.parameters()]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def fresh_networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return mlp_generator(Z_DIM, (2,), width=64), mlp_discriminator((2,), width=64)


def fresh_latents() -> Tensor:
    return torch.randn(BATCH, Z_DIM)


def bare_loop(
    generator: nn.Module,
    discriminator: nn.Module,
    average: nn.Module,
    penalized: bool,
    draw: Callable[[], Tensor] = fresh_latents,
) -> Callable[[Tensor], Tensor]:
    """A step written out by hand: the PyTorch calls of poise's step and no more."""
    g_adam, d_adam = adam(generator.parameters()), adam(discriminator.parameters())
    averaged, followed = list(average.parameters()), list(generator.parameters())
    nimg = 0

    def step(real: Tensor) -> Tensor:
        nonlocal nimg
        z = draw()
        with torch.no_grad():
            fake = generator(z)
        real_logits, fake_logits = discriminator(real), discriminator(fake)
        d_loss = (softplus(-real_logits) + softplus(fake_logits)).flatten(1).mean(1).mean()
        total = d_loss
        if penalized:
            total = d_loss + gradient_penalty(PENALTIES["r1"], discriminator, real, fake).mean()
        real_logits.mean(), fake_logits.mean(), (real_logits > fake_logits).float().mean()
        d_adam.zero_grad()
        total.backward()
        assert isfinite(total.detach())
        assert isfinite(norm_of(discriminator))
        d_adam.step()

        z = draw()
        discriminator.requires_grad_(False)
        fake_logits = discriminator(generator(z))
        g_loss = softplus(-fake_logits).flatten(1).mean(1).mean()
        fake_logits.mean()
        g_adam.zero_grad()
        g_loss.backward()
        assert isfinite(g_loss.detach())
        assert isfinite(norm_of(generator))
        g_adam.step()
        discriminator.requires_grad_(True)

        nimg += len(real)
        with torch.no_grad():
            torch._foreach_lerp_(averaged, followed, 1 - decay(len(real), nimg, 10.0, 0.05))
        return d_loss.detach()

    return step


def microseconds_a_step(step: Callable[[Tensor], object], real: Tensor) -> float:
    t0 = time.perf_counter()
    for _ in range(STEPS):
        step(real)
    return (time.perf_counter() - t0) / STEPS * 1e6


def make_trainer(penalized: bool) -> Trainer:
    return Trainer(
        *fresh_networks(),
        z_dim=Z_DIM,
        penalties={"r1": Weighted(PENALTIES["r1"], 1.0)} if penalized else None,
        g_optimizer=adam,
        d_optimizer=adam,
        fabric=make_fabric("cpu"),
    )


def check(penalized: bool) -> None:
    """The two loops do the same: given the latents that the trainer drew, the loop by hand comes to its weights."""
    trainer, drawn = make_trainer(penalized), []
    trainer.generator.register_forward_pre_hook(lambda generator, inputs: drawn.append(inputs[0]))
    generator, discriminator = fresh_networks()
    average = deepcopy(generator)
    bare = bare_loop(generator, discriminator, average, penalized, draw=lambda: drawn.pop(0))
    for real in torch.randn(CHECKED_STEPS, BATCH, 2):
        trainer.step(real)
        bare(real)
    for name, network in (("generator", generator), ("discriminator", discriminator), ("average", average)):
        theirs, mine = network.state_dict(), getattr(trainer, name).state_dict()
        apart = max(float((mine[key] - theirs[key]).abs().max()) for key in mine)
        assert apart <= TOLERANCE, f"the two loops train differently: weights of the {name} are {apart:.2g} apart"


def measure(penalized: bool, rounds: int) -> dict[str, float]:
    trainer = make_trainer(penalized)
    generator, discriminator = fresh_networks()
    bare = bare_loop(generator, discriminator, deepcopy(generator), penalized)
    real = torch.randn(BATCH, 2)
    for _ in range(3):
        microseconds_a_step(trainer.step, real)
        microseconds_a_step(bare, real)
    bares, poises = [], []
    for _ in range(rounds):
        trainer.meters.clear()
        poises.append(microseconds_a_step(trainer.step, real))
        bares.append(microseconds_a_step(bare, real))
    return {
        "bare_us": statistics.median(bares),
        "poise_us": statistics.median(poises),
        "added_us": statistics.median(p - b for p, b in zip(poises, bares, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name, penalized in (("alternating", False), ("with r1", True)):
        check(penalized)
        results[name] = measure(penalized, arguments.rounds)
    print(f"{'case':<14}{'bare':>10}{'poise':>10}{'added':>10}   microseconds a step (limit {LIMIT_MICROSECONDS:g})")
    for name, row in results.items():
        print(f"{name:<14}{row['bare_us']:>10.0f}{row['poise_us']:>10.0f}{row['added_us']:>10.0f}")
    if arguments.json:
        about = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.processor()}
        arguments.json.write_text(json.dumps({"about": about, "microseconds": results}, indent=2) + "\n")
    is_met = all(row["added_us"] <= LIMIT_MICROSECONDS for row in results.values())
    print(f"the limit is {'met' if is_met else 'not met'}")
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
