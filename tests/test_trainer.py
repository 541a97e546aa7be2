"""The trainer: what a step does, in which order, with what randomness; and that its state is all there is."""

import json
import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from poise import losses
from poise.balance import BALANCES, Alternating, Balance, Simultaneous
from poise.ema import Ema
from poise.errors import CheckpointError, ConfigError, DeviceError, NonFiniteError, ShapeError
from poise.losses import LOSSES, AdversarialLoss
from poise.models import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from poise.optimizers import WRAPPERS
from poise.penalties import PENALTIES, Penalty, Weighted, bcr
from poise.trainer import Hook, Trainer, make_fabric, pack, unpack
from poise.trainer.guard import Guard
from poise.trainer.meters import Meters

GOLDEN = Path(__file__).parent / "golden" / "mlp_relativistic.json"

adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.9))
sgd = partial(torch.optim.SGD, lr=0.1)


def wrapped(wrapper: Callable[..., torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    return lambda weights: wrapper(adam(weights))


def make(**options: Any) -> Trainer:
    torch.manual_seed(0)
    options = {"z_dim": 4, "g_optimizer": adam, "d_optimizer": adam, "fabric": make_fabric("cpu")} | options
    generator = mlp_generator(4, (2,), width=16)
    discriminator = mlp_discriminator((2,), width=16, outputs=outputs(options))
    return Trainer(generator, discriminator, **with_own_policy(options))


def outputs(options: dict[str, Any]) -> int:
    return getattr(options.get("loss"), "outputs", None) or 1


def with_own_policy(options: dict[str, Any]) -> dict[str, Any]:
    """A policy has a state, so each trainer is given one of its own."""
    balance = options.get("balance")
    return options | {"balance": balance()} if isinstance(balance, type) else options


def points(n: int = 512) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(7)) + 1


def weights(trainer: Trainer) -> dict[str, Tensor]:
    networks = {"g": trainer.generator, "d": trainer.discriminator, "ema": trainer.average}
    return {f"{key}.{name}": w.clone() for key, net in networks.items() for name, w in net.state_dict().items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def penalties_without_layers() -> list[tuple[str, Penalty]]:
    return [(name, penalty) for name, penalty in PENALTIES.items() if name != "feature_matching"]


def variants() -> dict[str, dict[str, Any]]:
    return {
        **{f"loss {name}": {"loss": loss} for name, loss in LOSSES.items()},
        **{f"penalty {name}": {"penalties": {name: Weighted(it, 1.0)}} for name, it in penalties_without_layers()},
        **{f"balance {name}": {"balance": it} for name, it in BALANCES.items()},
        **{
            f"wrapper {name}": {"g_optimizer": wrapped(it), "d_optimizer": wrapped(it)} for name, it in WRAPPERS.items()
        },
        "lazy": {"penalties": {"r1": Weighted(PENALTIES["r1"], 1.0, every=3)}},
        "wgan-gp": {
            "loss": LOSSES["wasserstein"],
            "penalties": {"wgan_gp": Weighted(PENALTIES["wgan_gp"], 10.0)},
            "balance": Alternating(d_steps=5),
        },
        "simultaneous": {"balance": Simultaneous(pretrain_d=2)},
        "sgd": {"g_optimizer": sgd, "d_optimizer": sgd},
    }


# What a step does.


def test_fit_is_a_loop_over_step() -> None:
    fitted, stepped = make(), make()
    fitted.fit(points(), steps=7, batch=32)
    feed = fitted.feed(points(), 32)
    for index in range(7):
        stepped.step(feed.batch(index))
    assert_same(weights(fitted), weights(stepped))
    assert (fitted.steps, fitted.nimg) == (7, 7 * 32)


def test_generator_descends_its_loss_and_nothing_else() -> None:
    """One step of plain gradient descent by hand."""
    trainer = make(g_optimizer=sgd)
    before = weights(trainer)
    z = torch.randn(8, 4)
    loss = nn.functional.softplus(-trainer.discriminator(trainer.generator(z))).mean()
    gradients = torch.autograd.grad(loss, list(trainer.generator.parameters()))
    numbers = trainer.generator_step(z)
    for (name, _), gradient in zip(trainer.generator.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(trainer.generator.state_dict()[name], before[f"g.{name}"] - 0.1 * gradient)
    assert all(w.grad is None for w in trainer.discriminator.parameters())
    assert_same(
        {k: v for k, v in weights(trainer).items() if k[0] == "d"}, {k: v for k, v in before.items() if k[0] == "d"}
    )
    torch.testing.assert_close(numbers["g_loss"], loss.detach())
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    torch.testing.assert_close(numbers["g_grad_norm"], norm)


def test_reals_count_when_d_sees_them_first_also_in_the_generators_step() -> None:
    trainer, z = make(loss=LOSSES["relativistic"]), torch.randn(8, 4)
    first, second = points(8), points(8)
    trainer.discriminator_step(first, z)
    trainer.generator_step(z)
    trainer.generator_step(z, first)
    assert trainer.nimg == 8
    trainer.generator_step(z, second)
    assert trainer.nimg == 16
    unmoved = make()  # whose generator looks at no reals, so that D is shown none
    unmoved.generator_step(z, second)
    assert unmoved.nimg == 0


def test_discriminator_minimizes_loss_plus_penalties() -> None:
    penalties = {"wgan_gp": Weighted(PENALTIES["wgan_gp"], 10.0), "r1": Weighted(PENALTIES["r1"], 2.0)}
    trainer = make(loss=LOSSES["wasserstein"], penalties=penalties)
    before = weights(trainer)
    numbers = trainer.discriminator_step(points(16), torch.randn(16, 4))
    assert set(numbers) == {
        "d_loss", "d_loss_total", "gp_loss", "r1_loss", "d_real", "d_fake", "d_accuracy", "d_grad_norm",
    }  # fmt: skip
    torch.testing.assert_close(numbers["d_loss"], numbers["d_fake"] - numbers["d_real"])
    torch.testing.assert_close(numbers["d_loss_total"], numbers["d_loss"] + numbers["gp_loss"] + numbers["r1_loss"])
    after = weights(trainer)
    assert_same({k: v for k, v in after.items() if k[0] == "g"}, {k: v for k, v in before.items() if k[0] == "g"})
    assert not torch.equal(after["d.1.weight"], before["d.1.weight"])


def test_the_penalty_of_a_linear_critic_is_logged_with_its_weight() -> None:
    critic = nn.Linear(2, 1)
    critic.weight.data = torch.tensor([[3.0, 4.0]])
    trainer = Trainer(
        mlp_generator(4, (2,)),
        critic,
        penalties={"wgan_gp": Weighted(PENALTIES["wgan_gp"], 10.0), "r1": Weighted(PENALTIES["r1"], 0.5)},
        fabric=make_fabric("cpu"),
    )
    numbers = trainer.discriminator_step(points(8), torch.randn(8, 4))
    assert numbers["gp_loss"].item() == pytest.approx(10 * (5 - 1) ** 2)
    assert numbers["r1_loss"].item() == pytest.approx(0.5 * 25 / 2)


def test_lazy_penalties_are_multiplied_by_every() -> None:
    trainer = make(penalties={"r1": Weighted(PENALTIES["r1"], 1.0, every=3)})
    for update in range(7):
        numbers = trainer.discriminator_step(points(16), torch.randn(16, 4))
        assert ("r1_loss" in numbers) is (update % 3 == 0)
        extra = 3 * numbers["r1_loss"] if "r1_loss" in numbers else 0.0
        torch.testing.assert_close(numbers["d_loss_total"], numbers["d_loss"] + extra)


def test_simultaneous_players_see_one_snapshot() -> None:
    """G's gradient in a simultaneous phase is the one against the discriminator before its update."""
    both = make(balance=Simultaneous(), g_optimizer=sgd, d_optimizer=partial(torch.optim.SGD, lr=10.0))
    alone = make(balance=Simultaneous(), g_optimizer=sgd, d_optimizer=partial(torch.optim.SGD, lr=1e-30))
    for trainer in (both, alone):
        trainer.step(points(32))
    left, right = weights(both), weights(alone)
    assert_same({k: v for k, v in left.items() if k[0] == "g"}, {k: v for k, v in right.items() if k[0] == "g"})
    assert not torch.equal(left["d.1.weight"], right["d.1.weight"])


def test_every_move_of_d_takes_a_batch_of_its_own() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Tensor]:
        while True:
            taken.append(len(taken))
            yield points(8)

    trainer = make(balance=Alternating(d_steps=5, g_steps=2))
    trainer.step(batches())
    assert len(taken) == 5
    assert trainer.nimg == 40
    assert trainer.updates == {"D": 5, "G": 2}


def test_frozen_weights_stay_frozen() -> None:
    discriminator = mlp_discriminator((2,), width=8)
    discriminator[1].requires_grad_(False)
    before = discriminator[1].weight.clone()
    trainer = Trainer(mlp_generator(4, (2,), width=8), discriminator, z_dim=4, fabric=make_fabric("cpu"))
    for _ in range(3):
        trainer.step(points(8))
    assert torch.equal(before, discriminator[1].weight)
    assert not discriminator[1].weight.requires_grad


def test_opponent_is_frozen_while_a_player_moves() -> None:
    seen: list[tuple[bool, bool]] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            seen.append((self.layer.weight.requires_grad, x.requires_grad))
            return self.layer(x)

    trainer = Trainer(mlp_generator(4, (2,)), Watching(), z_dim=4, fabric=make_fabric("cpu"))
    seen.clear()  # copies were tried
    trainer.step(points(8))
    assert seen == [(True, False), (False, True)]  # D(x) with D(G(z)) without G's graph; D(G(z)) for G


def test_two_time_scales() -> None:
    trainer = make(g_optimizer=partial(torch.optim.RMSprop, lr=1e-4), d_optimizer=partial(torch.optim.AdamW, lr=4e-4))
    state = trainer.state_dict()
    assert state["g_optimizer"]["optimizer"]["param_groups"][0]["lr"] == 1e-4
    assert state["d_optimizer"]["optimizer"]["param_groups"][0]["lr"] == 4e-4
    trainer.step(points(8))


def test_state_that_is_no_tensor_is_saved(tmp_path: Path) -> None:
    class Versioned(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"version": 3}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.loaded = state

    one, other = (Trainer(Versioned(4, 2), nn.Linear(2, 1), z_dim=4, fabric=make_fabric("cpu")) for _ in range(2))
    one.step(torch.randn(8, 2))
    one.save(tmp_path / "state.safetensors")
    other.load(tmp_path / "state.safetensors")
    assert other.generator.loaded == {"version": 3}
    assert torch.equal(other.generator.weight, one.generator.weight)


def test_a_data_set_may_have_a_batch_of_its_own() -> None:
    rows = TensorDataset(torch.randn(40, 2))
    rows.batch = 64
    trainer = Trainer(nn.Linear(4, 2), nn.Linear(2, 1), z_dim=4, fabric=make_fabric("cpu"))
    trainer.fit(rows, steps=2, batch=8)
    assert trainer.nimg == 16


@pytest.mark.filterwarnings("ignore:proportional control reads")  # of a critic that is no autoencoder
@pytest.mark.parametrize("name", variants())
def test_every_loss_penalty_and_policy_trains(name: str) -> None:
    trainer = make(**variants()[name])
    trainer.fit(points(), steps=6, batch=32)
    assert all(math.isfinite(value) for value in trainer.read().values())


def test_patch_logits() -> None:
    patches = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3, 1, 1))
    penalties = {name: Weighted(PENALTIES[name], 1.0) for name in ("r1", "wgan_gp")}
    trainer = Trainer(
        dcgan_generator(4, (1, 8, 8), 4), patches, z_dim=4, penalties=penalties, fabric=make_fabric("cpu")
    )
    trainer.step(torch.randn(4, 1, 8, 8))
    assert trainer.steps == 1


# No waiting for the device.


class Reads(TorchDispatchMode):
    """Counts the reads of a tensor's value by Python, each of which waits for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an accelerator: verdicts stay on the device until a tick reads them."""
    monkeypatch.setattr("poise.trainer.trainer.Guard", partial(Guard, deferred=True))


@pytest.mark.usefixtures("deferred")
def test_a_step_reads_nothing_from_the_device() -> None:
    fused = partial(torch.optim.Adam, lr=1e-3, fused=True)
    trainer = make(g_optimizer=fused, d_optimizer=fused, penalties={"r1": Weighted(PENALTIES["r1"], 1.0)})
    trainer.step(points(8))
    with Reads() as reads:
        for _ in range(5):
            trainer.step(points(8))
        assert reads.count == 0
        trainer.read()
        assert reads.count > 0


# Failing well.


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(bad: float) -> None:
    trainer = make()
    trainer.fit(points(), steps=3, batch=32)
    before = weights(trainer)
    with pytest.raises(
        NonFiniteError, match=r"step 3: the discriminator's loss is not finite \(loss (nan|inf).*no weight"
    ):
        trainer.step(torch.full((8, 2), bad))
    assert_same(weights(trainer), before)


def test_a_gradient_that_is_not_finite_stops_before_the_update() -> None:
    class Explodes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * math.inf

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, z: Tensor) -> Tensor:
            return Explodes.apply(self.layer(z))

    trainer = Trainer(Generator(), mlp_discriminator((2,)), z_dim=4, fabric=make_fabric("cpu"))
    before = trainer.generator.layer.weight.clone()
    with pytest.raises(NonFiniteError, match=r"the generator's gradient is not finite.*Lower g_optimizer.lr"):
        trainer.step(points(8))
    assert torch.equal(trainer.generator.layer.weight, before)


@pytest.mark.usefixtures("deferred")
def test_a_deferred_verdict_skips_every_update_until_it_is_read() -> None:
    fused = partial(torch.optim.Adam, lr=1e-3, fused=True)
    trainer = make(g_optimizer=fused, d_optimizer=fused, ema=Ema(0))
    trainer.step(points(8))
    before = {k: v for k, v in weights(trainer).items() if "ema" not in k}
    trainer.step(torch.full((8, 2), math.nan))
    trainer.step(points(8))
    assert_same({k: v for k, v in weights(trainer).items() if "ema" not in k}, before)
    with pytest.raises(NonFiniteError, match="step 1: the discriminator's loss is not finite"):
        trainer.read()


@pytest.mark.usefixtures("deferred")
def test_an_optimizer_that_cannot_skip_is_checked_at_once() -> None:
    trainer = make(d_optimizer=partial(torch.optim.RMSprop, lr=1e-3))
    with pytest.raises(NonFiniteError, match="step 0"):
        trainer.step(torch.full((8, 2), math.nan))


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda: make(z_dim=None).step(points(8)), ConfigError, r"give Trainer\(..., z_dim=...\)"),
        (lambda: make().step(torch.randn(8, 3)), ShapeError, r"makes samples of shape \(2,\), the data has \(3,\)"),
        (
            lambda: make(loss=LOSSES["relativistic"]).generator_step(torch.randn(8, 4)),
            ConfigError,
            "give it real samples",
        ),
        (lambda: make().fit(points()), ConfigError, "give steps=... or kimg=..."),
        (lambda: make(penalties={"r1": Weighted(PENALTIES["r1"], -1.0)}), ConfigError, "penalties.r1.weight is -1.0"),
        (lambda: make(penalties={"r1": Weighted(PENALTIES["r1"], 1.0, 0)}), ConfigError, "penalties.r1.every is 0"),
        (lambda: make_fabric("cuda:7"), DeviceError, "device 'cuda:7' cannot be used.*there are: cpu"),
        (lambda: make_fabric("gpu"), DeviceError, "device 'gpu' cannot be used"),
        (lambda: make_fabric("cpu", "16-mixed"), DeviceError, "precision '16-mixed' is refused: float16 overflows"),
        (lambda: make_fabric("cpu", "64-true"), DeviceError, "precision '64-true' is refused"),
        (
            lambda: Trainer(nn.Flatten(), mlp_discriminator((2,)), fabric=make_fabric("cpu")),
            ConfigError,
            "the generator has no weight that requires_grad",
        ),
    ],
)
def test_refusals(act: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        act()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: make(loss=losses.hinge), r"loss is a function; give an AdversarialLoss, such as losses.hinge\(\)"),
        (
            lambda: make(loss=AdversarialLoss(lambda r, f: softplus(f - r).mean(), lambda r, f: softplus(-f))),
            r"loss.d gives shape \(\) for logits of shape \(64,\); give one value a sample, \(n,\): the mean is the",
        ),
        (
            lambda: make(loss=AdversarialLoss(lambda r, f: softplus(f - r), lambda r, f: -f.mean().item())),
            r"loss.g gives a float for logits of shape \(64,\); give one value a sample",
        ),
        (
            lambda: make(loss=AdversarialLoss(lambda r, f: softplus(f - r), lambda r, f: softplus(-f.detach()))),
            "loss.g gives values that have no derivative; detach neither these nor the logits",
        ),
        (
            lambda: make(penalties={"mine": Weighted(lambda scene: 0.5, 1.0)}).step(points(8)),
            r"penalties.mine gives a float; give a tensor of shape \(n,\) or \(\)",
        ),
        (
            lambda: make(penalties={"mine": Weighted(lambda scene: scene.real.square(), 1.0)}).step(points(8)),
            r"penalties.mine gives shape \(8, 2\); give a tensor of shape \(n,\) or \(\)",
        ),
        (
            lambda: make(loss=AdversarialLoss(lambda r, f: softplus(f[None] - r[:, None]), lambda r, f: softplus(-f))),
            r"loss.d gives shape \(64, 64\) for logits of shape \(64,\); give one value a sample",
        ),
        (lambda: make(penalties={"r1": PENALTIES["r1"]}), r"penalties\['r1'\] is a GradientPenalty; give Weighted"),
        (lambda: make(penalties={"d": Weighted(PENALTIES["r1"], 1.0)}), "a penalty cannot be named 'd'"),
        (
            lambda: make(penalties={"mine": Weighted(PENALTIES["r1"], 1.0, to="G")}),
            "penalties.mine goes to 'G', on whose weights it does not depend, so that it would do nothing: let it go",
        ),
        (
            lambda: make(penalties={"mine": Weighted(PENALTIES["zcr_g"], 1.0, to="D")}),
            "penalties.mine goes to 'D', on whose weights it does not depend.*: let it go to 'G'",
        ),
        (
            lambda: make(penalties={"mine": Weighted(bcr(fake=0), 1.0, to="G")}),
            "penalties.mine goes to 'G', on whose weights it does not depend.*: let it go to 'D'",
        ),
        (
            lambda: make(penalties={"r1": Weighted(PENALTIES["r1"], math.inf)}),
            "penalties.r1.weight is inf; it must be at least 0 and finite",
        ),
        (lambda: make(d_optimizer=adam([nn.Parameter(torch.zeros(1))])), r"d_optimizer is a Adam; give a function"),
        (
            lambda: make().step(torch.utils.data.TensorDataset(points(8))),
            r"step was given a TensorDataset: give a batch, or an iterator such as iter\(loader\)",
        ),
        (lambda: make().step(iter([])), "there is no real batch left: give step an endless iterator"),
        (lambda: make(balance=Planned(())).step(points(8)), r"planned \(\); a plan is phases of 'D' and 'G'"),
        (lambda: make(balance=Planned((("d",),))).step(points(8)), r"planned \(\('d',\),\)"),
        (lambda: make(balance=Planned((("D", "D"),))).step(points(8)), "planned"),
    ],
)
def test_obvious_first_tries_are_told_what_to_give(act: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        act()


class Planned(Balance):
    def __init__(self, plan: Any) -> None:
        self._plan = plan

    def plan(self, step: int, signals: Any) -> Any:
        return self._plan


def test_batches_with_labels_from_a_loader() -> None:
    dataset = torch.utils.data.TensorDataset(points(64), torch.zeros(64))
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    trainer = make(balance=Alternating(d_steps=3))
    batches = chain.from_iterable(repeat(loader))
    for _ in range(3):
        trainer.step(batches)
    assert trainer.nimg == 3 * 3 * 16


def test_a_step_returns_numbers_of_its_own() -> None:
    trainer = make()
    history = [trainer.step(points(8)) for _ in range(3)]
    assert len({float(numbers["d_loss"]) for numbers in history}) == 3


def test_a_loop_of_ones_own_ends_its_steps() -> None:
    """The two halves and ``end_step`` are one ``step``."""
    trainer = make(ema=Ema(half_life_kimg=0))
    for _ in range(3):
        trainer.discriminator_step(points(8), torch.randn(8, 4))
        trainer.generator_step(torch.randn(8, 4))
        trainer.end_step()
    assert (trainer.steps, trainer.nimg) == (3, 24)
    assert torch.equal(trainer.average[0].weight, trainer.generator[0].weight)


def test_numbers_take_no_more_memory_without_ticks() -> None:
    meters = Meters()
    for value in range(1000):
        meters.add({"x": torch.tensor(float(value))})
    assert len(meters.state_dict()["values"]["x"]) < 300
    assert meters.means() == {"x": 499.5}


def test_layers_frozen_while_training_stay_frozen() -> None:
    trainer = make()
    trainer.step(points(8))
    trainer.discriminator[1].requires_grad_(False)
    before = trainer.discriminator[1].weight.clone()
    trainer.step(points(8))
    assert not trainer.discriminator[1].weight.requires_grad
    assert torch.equal(trainer.discriminator[1].weight, before)


def test_an_average_follows_one_trainer() -> None:
    ema = Ema()
    make(ema=ema)
    with pytest.raises(ValueError, match="follows another module already"):
        make(ema=ema)


def test_weights_that_are_not_finite_are_not_saved() -> None:
    trainer = make()
    trainer.generator[0].weight.data[0] = math.inf
    with pytest.raises(NonFiniteError, match="the generator's weights are not finite, so this state is not saved"):
        trainer.state_dict()


@pytest.mark.usefixtures("deferred")
def test_a_deferred_verdict_is_read_before_anything_is_saved_or_sampled() -> None:
    fused = partial(torch.optim.Adam, lr=1e-3, fused=True)
    for act in (Trainer.state_dict, lambda it: it.sample(2)):
        trainer = make(g_optimizer=fused, d_optimizer=fused)
        trainer.step(torch.full((8, 2), math.nan))
        with pytest.raises(NonFiniteError, match="step 0"):
            act(trainer)


# State and randomness.


class Noisy(nn.Module):
    """A discriminator that draws from the default generator and keeps running statistics."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Flipping(Balance):
    """A policy with state that reads a signal."""

    def __init__(self) -> None:
        self.turn = 0

    def plan(self, step: int, signals: Any) -> Any:
        self.turn += 1 if signals.get("d_real", 0.0) > signals.get("d_fake", 0.0) else 2
        return (("D",), ("G",)) if self.turn % 3 else (("G",),)

    def state_dict(self) -> dict[str, Any]:
        return {"turn": self.turn}

    def load_state_dict(self, state: Any) -> None:
        self.turn = state["turn"]


@pytest.mark.filterwarnings("ignore:proportional control reads")  # of a critic that is no autoencoder
@pytest.mark.parametrize("name", [*variants(), "own policy"])
def test_a_resume_equals_never_having_stopped(name: str) -> None:
    def build() -> Trainer:
        torch.manual_seed(0)
        generator = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
        options = {"balance": Flipping} if name == "own policy" else variants()[name]
        discriminator = Noisy(outputs(options))
        return Trainer(generator, discriminator, z_dim=4, fabric=make_fabric("cpu"), **with_own_policy(options))

    straight, first, second = build(), build(), build()
    straight.fit(points(), steps=11, batch=30)
    first.fit(points(), steps=5, batch=30)
    second.load_state_dict(unpack(pack(first.state_dict())))
    torch.rand(17)  # whatever else the new process did
    second.fit(points(), steps=11, batch=30)
    assert_same(weights(second), weights(straight))
    assert second.read() == straight.read()
    assert second.updates == straight.updates
    assert (second.steps, second.nimg) == (straight.steps, straight.nimg)


def test_the_randomness_of_others_is_not_touched() -> None:
    trainer = make()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer.step(points(8))
    trainer.sample(4)
    assert torch.equal(torch.rand(3), expected)


def test_batches_may_come_from_the_default_generator() -> None:
    seen: list[Tensor] = []

    def batches() -> Iterator[Tensor]:
        while True:
            seen.append(torch.randn(8, 2))
            yield seen[-1]

    trainer, source = make(), batches()
    torch.manual_seed(5)
    for _ in range(3):
        trainer.step(source)
    torch.manual_seed(5)
    assert all(torch.equal(batch, torch.randn(8, 2)) for batch in seen)


def test_seeds_differ() -> None:
    left, right = make(seed=1), make(seed=2)
    for trainer in (left, right):
        trainer.step(points(8))
    assert not torch.equal(weights(left)["g.0.weight"], weights(right)["g.0.weight"])


def test_samples_are_the_same_for_the_same_seed_in_any_chunks() -> None:
    trainer = make()
    assert torch.equal(trainer.sample(10, seed=3), trainer.sample(10, seed=3))
    torch.testing.assert_close(trainer.sample(10, seed=3, batch=4), trainer.sample(10, seed=3))
    assert not torch.equal(trainer.sample(10, seed=3), trainer.sample(10, seed=4))


def test_a_state_of_other_networks_is_refused() -> None:
    state = make().state_dict()
    other = Trainer(mlp_generator(4, (2,), width=8), mlp_discriminator((2,), width=16), fabric=make_fabric("cpu"))
    with pytest.raises(
        CheckpointError,
        match=r"does not fit these networks and optimizers: Error\(s\) in loading state_dict for .*: size mismatch for "
        r".* torch.Size\(\[16, 4\]\) .* torch.Size\(\[8, 4\]\)\.$",
    ):
        other.load_state_dict(state)


def test_settings_of_optimizers_are_those_of_now() -> None:
    saved, changed = make(), make(g_optimizer=partial(torch.optim.Adam, lr=1e-5, betas=(0.5, 0.9)))
    saved.step(points(8))
    changed.load_state_dict(unpack(pack(saved.state_dict())))
    group = changed.state_dict()["g_optimizer"]["optimizer"]["param_groups"][0]
    assert (group["lr"], group["betas"]) == (1e-5, (0.5, 0.9))
    assert changed.state_dict()["g_optimizer"]["optimizer"]["state"][0]["step"] == 1
    other = make(g_optimizer=sgd)
    with pytest.raises(CheckpointError, match="g_optimizer was a Adam and is a SGD now"):
        other.load_state_dict(saved.state_dict())


def test_save_and_load(tmp_path: Path) -> None:
    saved, loaded = make(), make(seed=0)
    saved.fit(points(), steps=3, batch=16)
    saved.save(tmp_path / "state.safetensors")
    loaded.load(tmp_path / "state.safetensors")
    assert_same(weights(loaded), weights(saved))
    assert loaded.steps == 3


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.randn(2), lambda: torch.full((2,), random.random()), lambda: torch.from_numpy(np.random.rand(2))],
    ids=["torch", "python", "numpy"],
)
def test_data_sets_that_transform_at_random_resume_exactly(draw: Callable[[], Tensor]) -> None:
    class Jittered(torch.utils.data.Dataset[Tensor]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> Tensor:
            return draw().float() + index / 64

    straight, first, second = make(), make(), make()
    straight.fit(Jittered(), steps=6, batch=16)
    first.fit(Jittered(), steps=4, batch=16)
    second.load_state_dict(first.state_dict())
    draw()
    second.fit(Jittered(), steps=6, batch=16)
    assert_same(weights(second), weights(straight))


def test_a_penalty_without_a_derivative_is_told_once() -> None:
    trainer = make(penalties={"mine": Weighted(lambda scene: scene.real.square().sum(1), 1.0)})
    with pytest.warns(
        UserWarning, match="penalties.mine gives values that have no derivative, so that it does nothing"
    ):
        trainer.step(points(8))
    trainer.step(points(8))


def test_data_sets_leave_the_generators_as_they_were() -> None:
    class Drawing(torch.utils.data.Dataset[Tensor]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> Tensor:
            return torch.tensor([random.random(), np.random.rand()])

    states = random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]
    make().fit(Drawing(), steps=2, batch=16)
    assert (random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]) == states


def test_states_are_plain_safetensors() -> None:
    from safetensors.torch import load

    trainer = make()
    trainer.step(points(8))
    content = pack({"trainer": trainer.state_dict(), "note": "x"})
    tensors = load(content)
    assert torch.equal(tensors["trainer.ema.0.weight"], trainer.average[0].weight)
    assert "trainer.d_optimizer.optimizer.state.0.exp_avg" in tensors
    with pytest.raises(CheckpointError, match="not a training state of poise"):
        unpack(content[: len(content) // 2])


def test_tied_weights_can_be_saved() -> None:
    weight = torch.randn(3)
    state = unpack(pack({"a": weight, "b": weight, "view": weight[1:], "pair": (1, [2.5, None]), "ints": {0: "zero"}}))
    assert torch.equal(state["a"], state["b"])
    assert torch.equal(state["view"], weight[1:])
    assert (state["pair"], state["ints"]) == ((1, [2.5, None]), {0: "zero"})


# Hooks and ends.


def test_hooks_see_every_step_and_can_stop() -> None:
    class Recorder(Hook):
        def __init__(self) -> None:
            self.calls: list[str] = []

        def start(self, trainer: Trainer) -> None:
            self.calls.append("start")

        def after_step(self, trainer: Trainer) -> None:
            self.calls.append(str(trainer.steps))
            if trainer.steps == 3:
                trainer.stop("enough")

        def end(self, trainer: Trainer) -> None:
            self.calls.append("end")

    recorder, trainer = Recorder(), make()
    trainer.fit(points(), steps=100, batch=16, hooks=[recorder])
    assert recorder.calls == ["start", "1", "2", "3", "end"]
    assert trainer.stop_reason == "enough"


def test_kimg_is_an_end() -> None:
    trainer = make()
    trainer.fit(points(), kimg=0.1, batch=32)
    assert (trainer.steps, trainer.nimg) == (4, 128)
    assert trainer.seconds > 0


def test_bf16_mixed_gives_float32_logits_and_penalties() -> None:
    trainer = make(fabric=make_fabric("cpu", "bf16-mixed"), penalties={"r1": Weighted(PENALTIES["r1"], 1.0)})
    numbers = trainer.discriminator_step(points(16), torch.randn(16, 4))
    assert {value.dtype for value in numbers.values()} == {torch.float32}


def test_dcgan_trains_on_channels_last_batches() -> None:
    trainer = Trainer(
        dcgan_generator(4, (1, 8, 8), 8), dcgan_discriminator((1, 8, 8), 8), z_dim=4, fabric=make_fabric("cpu")
    )
    trainer.fit(torch.rand(64, 1, 8, 8).to(memory_format=torch.channels_last), steps=3, batch=16)
    assert trainer.sample(5).shape == (5, 1, 8, 8)


def test_golden_curve() -> None:
    """The first losses of a fixed training, so that a refactor that changes the mathematics is seen."""
    trainer = make(
        loss=LOSSES["relativistic"], penalties={name: Weighted(PENALTIES[name], 0.1) for name in ("r1", "r2")}
    )
    curve: list[dict[str, float]] = []
    feed = trainer.feed(points(), 32)
    for index in range(20):
        numbers = trainer.step(feed.batch(index))
        curve.append({name: float(numbers[name]) for name in ("d_loss", "g_loss", "r1_loss", "r2_loss")})
    for step, (now, then) in enumerate(zip(curve, json.loads(GOLDEN.read_text()), strict=True)):
        assert now == pytest.approx(then, rel=1e-3, abs=1e-5), f"step {step}"


def test_what_an_optimizer_keeps_in_its_groups_survives_a_resume() -> None:
    """Some optimizers count in their groups; only what the constructor was told is taken from now."""

    class Fading(torch.optim.SGD):
        def __init__(self, weights: Any, lr: float) -> None:
            super().__init__(weights, lr)
            self.param_groups[0]["count"] = 0

        def step(self, closure: Any = None) -> Any:
            group = self.param_groups[0]
            group["count"] += 1
            lr, group["lr"] = group["lr"], group["lr"] / group["count"]
            super().step(closure)
            group["lr"] = lr

    def build() -> Trainer:
        return make(g_optimizer=partial(Fading, lr=0.1), d_optimizer=partial(Fading, lr=0.1))

    straight, first, second = build(), build(), build()
    straight.fit(points(), steps=6, batch=32)
    first.fit(points(), steps=3, batch=32)
    second.load_state_dict(unpack(pack(first.state_dict())))
    second.fit(points(), steps=6, batch=32)
    assert_same(weights(second), weights(straight))
