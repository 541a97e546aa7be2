"""Trainings that one process does alone, or several together: what test_processes.py compares.

``python together.py SIZE FILE`` is one of several processes. The first one writes what all of them got.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from poise import Trainer, augment, constraints, optimizers, penalties
from poise.augment import Adaptive, Augmented
from poise.balance import BALANCES, Alternating
from poise.config import EvaluateConfig
from poise.constraints import Constrained
from poise.data import Batches, load
from poise.errors import NonFiniteError, PoiseError
from poise.losses import LOSSES
from poise.metrics.features.extractor import Extractor, Workplace
from poise.models import build
from poise.parallel import World
from poise.penalties import PENALTIES, Weighted
from poise.session.evaluation import Evaluation
from poise.trainer import Autoencoder, make_fabric

BATCH, STEPS, Z_DIM, CLASSES = 12, 4, 6, 3

# Adam's step is as long for a gradient that is rounding and nothing else, such as that of a bias which a loss of
# differences does not depend on; SGD's is not.
SGD = partial(torch.optim.SGD, lr=0.05)
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))

State = dict[str, Tensor]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


POINTS = noise(50, 2) + 1
IMAGES = noise(50, 1, 8, 8).tanh()
LABELS = torch.arange(50) % CLASSES


class Labelled(nn.Module):
    """A network that takes classes: each has a vector that is added to what comes in."""

    def __init__(self, network: nn.Module, features: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(CLASSES, features)
        self.network = network

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        y: Tensor = self.network(x + self.vectors(labels))
        return y


def generator() -> nn.Sequential:
    return nn.Sequential(nn.Linear(Z_DIM, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2))


def critic(outputs: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 12), nn.LeakyReLU(0.2), nn.Linear(12, 12), nn.LeakyReLU(0.2), nn.Linear(12, outputs)
    )


def image_generator() -> nn.Module:
    return build(["linear 2*2*8", "batch_norm", "relu", "deconv 8", "batch_norm", "relu", "deconv 1", "tanh"], (Z_DIM,))


def image_critic(*layers: str) -> nn.Module:
    return build(["conv 8", "lrelu 0.2", *layers, "conv 8", "lrelu 0.2", "linear 1"], (1, 8, 8))


def trained(
    fabric: Fabric,
    g: Callable[[], nn.Module] = generator,
    d: Callable[[], nn.Module] = critic,
    data: Any = POINTS,
    steps: int = STEPS,
    **options: Any,
) -> Trainer:
    trainer = Trainer(
        g(),
        d(),
        z_dim=Z_DIM,
        fabric=fabric,
        seed=5,
        **{"g_optimizer": ADAM, "d_optimizer": ADAM, **options},
    )
    trainer.fit(data, steps=steps, batch=BATCH)
    return trainer


def state_of(trainer: Trainer) -> State:
    """All that a training changes, and the numbers that it planned by."""
    networks = {"g": trainer.generator, "d": trainer.discriminator, "average": trainer.average}
    found = {f"{name}.{key}": it for name, network in networks.items() for key, it in network.state_dict().items()}
    found |= {f"latest.{name}": it for name, it in trainer.meters.latest.items()}
    return {name: it.detach().clone().float() for name, it in found.items()} | {
        "counts": torch.tensor([trainer.steps, trainer.nimg, *trainer.updates.values()]).float()
    }


def weighted(name: str) -> Weighted:
    if name == "feature_matching":
        return Weighted(penalties.feature_matching(layers=["1"]), 1.0)
    return Weighted(PENALTIES[name], 1.0)


def cases(fabric: Fabric) -> Iterator[tuple[str, Callable[[], State]]]:
    """Every training by its name; each begins with the same weights."""

    def case(**options: Any) -> Callable[[], State]:
        return lambda: state_of(trained(fabric, **options))

    for name in PENALTIES:
        yield f"penalty {name}", case(penalties={name: weighted(name)})
    for name, loss in LOSSES.items():
        of_loss = partial(critic, loss.outputs or 1)
        yield f"loss {name}", case(d=of_loss, loss=loss, g_optimizer=SGD, d_optimizer=SGD)
    for name, balance in BALANCES.items():
        yield f"balance {name}", case(balance=balance())
    yield "top k", case(top_k=0.4)
    yield "a batch in parts", case(accumulate=2)
    yield "extragradient", case(g_optimizer=lambda weights: optimizers.Extragradient(ADAM(weights)))
    yield "clipping", case(constraints=[Constrained(constraints.clip(0.1))])
    yield "a warm-up", case(warmup=Autoencoder(nn.Linear(2, Z_DIM), 2, ADAM))
    sn = [Constrained(constraints.spectral_norm())]
    yield "spectral norm", case(constraints=sn, penalties={"r1": weighted("r1")})
    yield "a penalty of G", case(penalties={"apart": Weighted(penalties.adversarial_norm("fake"), 0.1, to="G")})

    def of_images(*layers: str, **options: Any) -> Callable[[], State]:
        options |= {"data": IMAGES, "steps": 3, "g_optimizer": SGD, "d_optimizer": SGD}
        return lambda: state_of(trained(fabric, image_generator, partial(image_critic, *layers), **options))

    through = {"r1": weighted("r1"), "wgan_gp": weighted("wgan_gp")}
    yield "batch norm, penalties through it", of_images("batch_norm", penalties=through)
    yield "statistics of the batch", of_images("minibatch_stddev")
    for name, how in (("diffaugment", augment.diffaugment()), ("ada", augment.ada())):
        yield f"augmentation {name}", of_images(augment=Augmented(how, 0.5, Adaptive(kimg=0.1)))
    yield "mirrored images", lambda: state_of(mirrored(fabric))
    yield "classes", lambda: state_of(conditional(fabric))
    yield "steps of one's own", lambda: state_of(stepped(fabric))


def mirrored(fabric: Fabric) -> Trainer:
    trainer = Trainer(image_generator(), image_critic(), z_dim=Z_DIM, fabric=fabric, g_optimizer=SGD, d_optimizer=SGD)
    trainer.fit(trainer.feed(IMAGES, BATCH, flip=True), steps=2)
    return trainer


def conditional(fabric: Fabric) -> Trainer:
    networks = Labelled(generator(), Z_DIM), Labelled(critic(), 2)
    trainer = Trainer(*networks, z_dim=Z_DIM, classes=CLASSES, fabric=fabric, g_optimizer=SGD, d_optimizer=SGD)
    data = torch.utils.data.TensorDataset(POINTS, LABELS)
    trainer.fit(data, steps=2, batch=BATCH)
    return trainer


def stepped(fabric: Fabric) -> Trainer:
    """Moves by hand, each process with its rows of the whole batch."""
    trainer = Trainer(
        generator(),
        critic(),
        fabric=fabric,
        seed=5,
        penalties={"wgan_gp": weighted("wgan_gp")},
        g_optimizer=ADAM,
        d_optimizer=ADAM,
    )
    own = trainer.world.share(BATCH)
    for step in range(2):
        trainer.discriminator_step(POINTS[:BATCH][own], noise(BATCH, Z_DIM, seed=step)[own])
        trainer.generator_step(noise(BATCH, Z_DIM, seed=step)[own])
        trainer.end_step()
    return trainer


# What one process cannot do alone.


def refusal(work: Callable[[], object]) -> str:
    try:
        work()
    except PoiseError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was refused"


def not_finite_in_one(fabric: Fabric) -> str:
    data = POINTS.clone()
    order = Batches(data, BATCH, seed=5).batch(2)  # the third batch, of which the last process has the last row
    data[(data == order[-1]).all(1)] = torch.nan
    trainer = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric, seed=5)
    said = refusal(lambda: trainer.fit(data, steps=9, batch=BATCH))
    assert all(it.isfinite().all() for it in trainer.discriminator.parameters())
    return f"{said} at {trainer.steps}"


def dropped(fabric: Fabric) -> bool:
    """Whether dropout differs between processes, and their weights do not."""
    network = nn.Sequential(nn.Linear(2, 64), nn.Dropout(), nn.Linear(64, 1))
    seen: list[Tensor] = []
    network[1].register_forward_hook(lambda module, inputs, output: seen.append((output == 0).float()))
    trainer = Trainer(generator(), network, z_dim=Z_DIM, fabric=fabric, seed=5)
    trainer.fit(POINTS, steps=2, batch=BATCH)
    masks = trainer.world.of_all(seen[-1])
    return are_one(trainer.world, state_of(trainer)) and not torch.equal(masks[0], masks[1])


class Counting(nn.Module):
    """Keeps a statistic of its own of what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.mean.lerp_(x.mean(0), 0.1)
        return x


def buffers_of_ones_own(fabric: Fabric) -> bool:
    trainer = trained(fabric, d=lambda: nn.Sequential(Counting(), *critic()))
    return are_one(trainer.world, state_of(trainer))


def own_weights(fabric: Fabric) -> bool:
    """Networks that were made with other weights in each process begin with those of the first."""
    torch.manual_seed(fabric.global_rank)
    return are_one(World(fabric.global_rank, fabric.world_size), state_of(trained(fabric, steps=1)))


def stopped_by_one(fabric: Fabric) -> tuple[int, str | None]:
    """The last process asks for a stop after its third step."""
    from poise.trainer import Hook

    class Stop(Hook):
        def after_step(self, trainer: Trainer) -> None:
            if trainer.steps == 3 and trainer.world.rank == trainer.world.size - 1:
                trainer.stop("it is enough")

    trainer = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric)
    trainer.fit(POINTS, steps=9, batch=BATCH, hooks=[Stop()])
    return trainer.steps, trainer.stop_reason


def parts_of_two_sizes(fabric: Fabric) -> str:
    trainer = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric)
    return refusal(lambda: trainer.step(POINTS[: 8 - fabric.global_rank]))


def uneven_batch(fabric: Fabric) -> str:
    trainer = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric)
    return refusal(lambda: trainer.fit(POINTS, steps=1, batch=13))


def batch_beyond_the_data(fabric: Fabric) -> str:
    trainer = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric)
    return refusal(lambda: trainer.fit(POINTS, steps=1, batch=60))


def other_execution(fabric: Fabric) -> str:
    return refusal(lambda: Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric, execution="compile"))


def spread_work(fabric: Fabric) -> tuple[list[float], str]:
    """Rows that processes make in shares, of which the last one fails in the end."""
    world = World(fabric.global_rank, fabric.world_size)
    rows = world.spread(7, lambda share: torch.arange(7.0)[share])

    def fail(share: slice) -> Tensor:
        if share.stop == 7:
            raise NonFiniteError("the last share is bad")
        return torch.zeros(0)

    return rows.tolist(), refusal(lambda: world.spread(7, fail))


class Halves(Extractor):
    """The mean of each half of an image."""

    name = "halves"

    def __init__(self) -> None:
        super().__init__(Workplace())
        self.seen = 0

    def features(self, rows: Tensor) -> Tensor:
        self.seen += len(rows)
        return rows.float().flatten(1).unflatten(1, (2, -1)).mean(2)


def features_in_shares(fabric: Fabric) -> tuple[bool, int]:
    """Whether features of samples and of real images are those of one process; how many this one computed."""
    images = load(np.random.default_rng(0).integers(0, 256, (101, 8, 8, 1), dtype=np.uint8))
    found = []
    for world in (World(), World(fabric.global_rank, fabric.world_size)):
        evaluation = Evaluation(images, EvaluateConfig(features="raw", samples=80), torch.device("cpu"), world=world)
        # As if they were chosen, and took long.
        extractor = evaluation._extractors["halves"] = Halves()
        evaluation.features = "halves"
        found.append((evaluation.features_of(images.array[:50], "halves", "samples"), evaluation.real))
    alone, together = found
    return all(map(torch.equal, alone, together)), extractor.seen


def second_derivatives(fabric: Fabric) -> list[float]:
    """Of the square of a sum over processes, each of which has one number."""
    world = World(fabric.global_rank, fabric.world_size)
    x = torch.tensor(float(world.rank + 1), requires_grad=True)
    y = world.sum(x * x) ** 2 / world.size  # the mean over processes of (sum of squares)^2
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    return [first.item(), second.item()]


TOGETHER: dict[str, Callable[[Fabric], Any]] = {
    work.__name__: work
    for work in (
        not_finite_in_one,
        dropped,
        buffers_of_ones_own,
        own_weights,
        stopped_by_one,
        parts_of_two_sizes,
        uneven_batch,
        batch_beyond_the_data,
        other_execution,
        spread_work,
        features_in_shares,
        second_derivatives,
    )
}


def are_one(world: World, state: State) -> bool:
    """Whether all processes have the same bits."""
    first = world.of_first(state)
    return all(world.of_all(all(torch.equal(state[name], it) for name, it in first.items())))


def results(fabric: Fabric) -> dict[str, State]:
    """The state after each training, with whether all processes have the same one."""
    found = {}
    for name, work in cases(fabric):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # proportional control wants another critic
            found[name] = work()
    return found


def main() -> None:
    size, path = int(sys.argv[1]), Path(sys.argv[2])
    fabric = make_fabric("cpu", devices=size)
    fabric.launch()
    world = World(fabric.global_rank, size)
    states = results(fabric)
    apart = [name for name, state in states.items() if not are_one(world, state)]
    # A state that several processes saved, for one; and one of another number of them, for these.
    torch.manual_seed(0)
    saved = trained(fabric, balance=Alternating(), steps=2)
    if world.is_first:
        saved.save(path.with_suffix(".half"))
    resumed = Trainer(generator(), critic(), z_dim=Z_DIM, fabric=fabric, seed=5, g_optimizer=ADAM, d_optimizer=ADAM)
    resumed.load(path.with_name("alone.half"))
    resumed.fit(POINTS, steps=STEPS, batch=BATCH)
    states["resumed"] = state_of(resumed)
    together = {}
    for name, work in TOGETHER.items():
        torch.manual_seed(0)
        together[name] = world.of_all(work(fabric))
    if world.is_first:
        torch.save({"states": states, "apart": apart, "together": together}, path)


if __name__ == "__main__":
    main()
