"""What the trainer does with the values of the toolbox: whom penalties reach, who moves on what, what changes when."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poise.balance import Accumulate, AdaptiveCritic, Alternating, Balanced, ProportionalControl, Simultaneous
from poise.constraints import Constrained, clip, spectral_norm
from poise.ema import Ema
from poise.errors import CheckpointError, ConfigError, ShapeError
from poise.losses import LOSSES, lsgan
from poise.models import PRESETS, build, mlp_discriminator, mlp_generator
from poise.optimizers import Extragradient
from poise.penalties import PENALTIES, Scene, Weighted, feature_matching, lecam
from poise.schedules import Linear, Scheduled, Step
from poise.trainer import Autoencoder, Trainer, make_fabric, pack, unpack

sgd = partial(torch.optim.SGD, lr=0.1)
adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.9))


def make(discriminator: nn.Module | None = None, **options: Any) -> Trainer:
    torch.manual_seed(0)
    options = {"z_dim": 4, "g_optimizer": adam, "d_optimizer": adam, "fabric": make_fabric("cpu")} | options
    return Trainer(
        options.pop("generator", None) or mlp_generator(4, (2,), width=16),
        discriminator or mlp_discriminator((2,), width=16),
        **options,
    )


def points(n: int = 32) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(7)) + 1


def flat(network: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def resumed(build: Callable[[], Trainer], steps: int, at: int) -> tuple[Trainer, Trainer]:
    """A trainer that went straight to ``steps``, and one that was saved and loaded on the way."""
    straight, first, second = build(), build(), build()
    straight.fit(points(256), steps=steps, batch=16)
    first.fit(points(256), steps=at, batch=16)
    second.load_state_dict(unpack(pack(first.state_dict())))
    second.fit(points(256), steps=steps, batch=16)
    return straight, second


def assert_same_networks(one: Trainer, other: Trainer) -> None:
    for name in ("generator", "discriminator", "average"):
        assert torch.equal(flat(getattr(one, name)), flat(getattr(other, name))), name


# Balance.


class Counting(nn.Module):
    """A network that counts its passes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.network(x)


@pytest.mark.parametrize(("imbalance", "mover"), [(1000.0, "D"), (-1000.0, "G")])
def test_balanced_decides_with_the_passes_that_it_then_trains_on(imbalance: float, mover: str) -> None:
    generator, discriminator = Counting(mlp_generator(4, (2,))), Counting(mlp_discriminator((2,)))
    trainer = make(discriminator, generator=generator, balance=Balanced(imbalance))
    for steps in (1, 2, 3):
        numbers = trainer.step(points())
        assert (generator.passes, discriminator.passes) == (steps, 2 * steps)
    assert trainer.updates == {"D": 3, "G": 0} if mover == "D" else {"D": 0, "G": 3}
    assert ("d_loss" in numbers) is (mover == "D")
    assert trainer.nimg == 96  # D has seen them, whoever moved


@pytest.mark.parametrize("imbalance", [1000.0, -1000.0])
@pytest.mark.parametrize("loss", ["vanilla", "relativistic"])
def test_a_balanced_step_is_the_step_of_the_player_who_moves(imbalance: float, loss: str) -> None:
    """The update equals one of discriminator_step or generator_step on the same batch and latents."""
    taken: list[Tensor] = []

    class Keeping(Balanced):
        def decide(self, signals: Any) -> Any:
            scene = trainer._ahead
            assert scene is not None
            taken.append(scene.z)
            return super().decide(signals)

    # Adam would make steps of rounding errors, where a gradient is 0 but for them.
    options = {"loss": LOSSES[loss], "d_optimizer": sgd, "g_optimizer": sgd}
    trainer = make(balance=Keeping(imbalance), **options)
    trainer.step(points())
    by_hand = make(**options)
    if imbalance > 0:
        by_hand.discriminator_step(points(), taken[0])
    else:
        by_hand.generator_step(taken[0], points())
    torch.testing.assert_close(flat(trainer.generator), flat(by_hand.generator))
    torch.testing.assert_close(flat(trainer.discriminator), flat(by_hand.discriminator))


def test_balanced_signals_are_of_the_batch_that_is_trained_on() -> None:
    """D's mean logit of reals, as it decided, is the one that its update logs."""
    seen: list[dict[str, float]] = []

    class Watching(Balanced):
        def decide(self, signals: Any) -> Any:
            seen.append({"d_real": signals["d_real"], "d_fake": signals["d_fake"]})
            return (("D",),)

    trainer = make(balance=Watching())
    batches = iter(torch.randn(3, 16, 2))
    for _ in range(3):
        numbers = trainer.step(batches)
        assert seen[-1] == {name: pytest.approx(numbers[name].item()) for name in ("d_real", "d_fake")}


def test_d_fake_balance_counts_only_reals_that_d_saw() -> None:
    trainer = make(balance=Balanced(d_fake_balance=True))
    for _ in range(12):
        trainer.step(points())
    assert 0 < trainer.updates["D"] < 12
    assert trainer.nimg == 32 * trainer.updates["D"]


def test_balanced_warns_of_a_loss_that_pushes_reals_down() -> None:
    with pytest.warns(UserWarning, match="this loss pushes them down: exchange its targets, or take another policy"):
        make(balance=Balanced(), loss=lsgan(a=1.0, b=0.0, c=0.0))


def gradients_against(trainer: Trainer, z: Tensor) -> list[Tensor]:
    loss = trainer.loss.g(torch.zeros(len(z), 1), trainer.discriminator(trainer.generator(z))).mean()
    return list(torch.autograd.grad(loss, list(trainer.generator.parameters())))


@pytest.mark.parametrize("combine", ["average", "agree", "variance"])
def test_accumulated_gradients(combine: Any) -> None:
    """G moves once, along what its gradients against each of the three D became."""
    gathered: list[list[Tensor]] = []
    trainer = make(balance=Accumulate(3, combine), g_optimizer=sgd)
    before = [weight.detach().clone() for weight in trainer.generator.parameters()]
    player = trainer._players["G"]
    gradients_of = player.gradients_of

    def watched(*args: Any, **options: Any) -> Tensor:
        norm = gradients_of(*args, **options)
        gathered.append([weight.grad.clone() for weight in player.weights if weight.grad is not None])
        return norm

    player.gradients_of = watched  # type: ignore[method-assign]
    trainer.step(iter(torch.randn(3, 16, 2)))
    assert trainer.updates == {"D": 3, "G": 1}
    assert trainer.nimg == 48
    assert len(gathered) == 3
    for index, (weight, old) in enumerate(zip(trainer.generator.parameters(), before, strict=True)):
        first, second, third = (gradients[index] for gradients in gathered)
        mean = (first + second + third) / 3
        if combine == "agree":
            two = (first + second) * (first * second > 0)
            mean = mean * (first * second > 0) * (two * third > 0)
        elif combine == "variance":
            square = (first**2 + second**2 + third**2) / 3
            mean = torch.where(square > 0, mean * mean**2 / square, 0)
        torch.testing.assert_close(weight, old - 0.1 * mean)


def test_accumulate_of_one_is_simultaneous() -> None:
    one, other = make(balance=Accumulate(1)), make(balance=Simultaneous())
    for trainer in (one, other):
        trainer.fit(points(256), steps=3, batch=16)
    assert_same_networks(one, other)


def test_simultaneous_players_share_their_passes() -> None:
    generator, discriminator = Counting(mlp_generator(4, (2,))), Counting(mlp_discriminator((2,)))
    make(discriminator, generator=generator, balance=Simultaneous()).step(points())
    assert (generator.passes, discriminator.passes) == (1, 2)


def test_adaptive_critic_reads_the_norm_of_the_input_gradient() -> None:
    critic = nn.Linear(2, 1)
    critic.weight.data = torch.tensor([[3.0, 4.0]])
    trainer = make(
        critic,
        loss=LOSSES["wasserstein"],
        balance=AdaptiveCritic(min=1, max=4, target=5.0, tolerance=1.0),
        d_optimizer=partial(torch.optim.SGD, lr=1e-9),
    )
    numbers = trainer.step(points())
    assert numbers["d_input_grad_norm"].item() == pytest.approx(5.0)
    trainer.step(points())
    assert trainer.updates == {"D": 2, "G": 2}
    off = make(critic, loss=LOSSES["wasserstein"], balance=AdaptiveCritic(min=1, max=4, target=1.0, tolerance=1.0))
    for _ in range(3):
        off.step(points())
    assert off.updates == {"D": 1 + 2 + 3, "G": 3}
    assert off.read()["d_steps"] == 3


def test_proportional_control_weighs_the_fakes_of_an_autoencoder_critic() -> None:
    """With k at 0 D sees no fakes; L_D = L(x) - k L(G(z)) for the wasserstein loss."""
    critic = PRESETS["began"].discriminator(shape=(1, 8, 8), width=4)
    trainer = make(
        critic,
        generator=PRESETS["began"].generator(z_dim=4, shape=(1, 8, 8), width=4),
        loss=LOSSES["wasserstein"],
        balance=ProportionalControl(gamma=0.5, lambda_k=0.5),
    )
    images = torch.rand(8, 1, 8, 8) * 2 - 1
    first = trainer.step(images)
    torch.testing.assert_close(first["d_loss"], -first["d_real"])
    second = trainer.step(images)
    numbers = trainer.read()
    error_x, error_g = -first["d_real"].item(), -first["d_fake"].item()
    k = min(max(0.5 * (0.5 * error_x - error_g), 0.0), 1.0)
    assert numbers["k"] == pytest.approx(k)
    assert numbers["convergence"] == pytest.approx(error_x + abs(0.5 * error_x - error_g))
    torch.testing.assert_close(second["d_loss"], k * second["d_fake"] - second["d_real"])


def test_proportional_control_of_a_critic_that_is_no_autoencoder() -> None:
    trainer = make(balance=ProportionalControl(), loss=LOSSES["wasserstein"])
    with pytest.warns(UserWarning, match="on fakes, where errors are at least 0"):
        trainer.fit(points(256), steps=30, batch=16)


# Penalties and constraints.


def test_penalties_go_to_the_player_that_is_named() -> None:
    def ones(scene: Scene) -> Tensor:
        return scene.fake.square().flatten(1).sum(1)

    trainer = make(penalties={"small": Weighted(ones, 0.5, every=2, to="G")}, g_optimizer=sgd)
    z = torch.randn(8, 4)
    assert "small_loss" not in trainer.discriminator_step(points(8), z)
    with torch.no_grad():
        expected = 0.5 * trainer.generator(z).square().sum(1).mean()
    first, second = trainer.generator_step(z), trainer.generator_step(z)
    torch.testing.assert_close(first["small_loss"], expected)
    torch.testing.assert_close(first["g_loss_total"], first["g_loss"] + 2 * expected)
    assert "small_loss" not in second
    torch.testing.assert_close(second["g_loss_total"], second["g_loss"])


def test_a_weight_by_schedule() -> None:
    trainer = make(penalties={"r1": Weighted(PENALTIES["r1"], Step((1.0, 0.0), at=(0.05,)))})
    seen = [trainer.step(points())["r1_loss"].item() for _ in range(4)]  # at 0, 0.032, 0.064, 0.096 kimg
    assert seen[0] > 0
    assert seen[1] > 0
    assert seen[2:] == [0, 0]


@pytest.mark.parametrize("reduce", ["batch", "sample"])
@pytest.mark.parametrize("balance", [Alternating, Simultaneous, partial(Balanced, -1000.0)])
def test_feature_matching_of_named_layers(reduce: Any, balance: Callable[[], Any]) -> None:
    penalty = feature_matching(layers=("2", "4"), reduce=reduce)
    trainer = make(penalties={"feature_matching": Weighted(penalty, 1.0)}, balance=balance())
    numbers = trainer.step(points())
    assert numbers["feature_matching_loss"] > 0
    assert trainer.updates["G"] == 1


class Returning(nn.Module):
    """A discriminator that returns features beside its logits."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.form = form
        self.hidden = nn.Linear(2, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(x).relu()
        logits = self.head(hidden)
        return {
            "pair": (logits, hidden),
            "list": [logits, [hidden, hidden]],
            "names": (logits, {"hidden": hidden}),
            "mapping": {"logits": logits, "hidden": hidden},
            "logits": logits,
        }[self.form]


@pytest.mark.parametrize("form", ["pair", "list", "names", "mapping"])
def test_a_discriminator_may_return_features_beside_its_logits(form: str) -> None:
    penalties = {"r1": Weighted(PENALTIES["r1"], 1.0), "feature_matching": Weighted(feature_matching(), 1.0)}
    trainer = make(Returning(form), penalties=penalties)
    plain = make(Returning("logits"), penalties={"r1": penalties["r1"]})
    numbers, expected = trainer.step(points()), plain.step(points())
    assert numbers["feature_matching_loss"] > 0
    torch.testing.assert_close(numbers["d_loss_total"], expected["d_loss_total"])


def test_a_discriminator_without_logits_is_refused() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Any:
            return {"score": self.layer(x)}

    with pytest.raises(ConfigError, match=r"returned dict without a tensor of logits: it may return logits, \(logits,"):
        make(Wrong()).step(points())


def test_features_of_layers_in_parentheses() -> None:
    d = build(["linear 4", "add self (linear 4 name=q)", "lrelu", "linear 1"], (2,))
    trainer = make(d, penalties={"fm": Weighted(feature_matching(layers=("q",)), 1.0)})
    trainer.step(points())
    assert trainer.read()["fm_loss"] > 0


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"penalties.fm.layers: the discriminator has no layer '77'"):
        make(penalties={"fm": Weighted(feature_matching(layers=("77",)), 1.0)})


def test_what_penalties_remember_survives_a_resume() -> None:
    def build() -> Trainer:
        return make(penalties={"lecam": Weighted(PENALTIES["lecam"], 0.5)})

    straight, second = resumed(build, steps=9, at=4)
    assert straight._memory.keys() == second._memory.keys() != set()
    assert_same_networks(straight, second)


def test_going_back_to_before_a_penalty_remembered_anything() -> None:
    def build() -> Trainer:
        return make(penalties={"lecam": Weighted(PENALTIES["lecam"], 0.5)})

    straight, back = build(), build()
    beginning = unpack(pack(back.state_dict()))
    back.fit(points(256), steps=5, batch=16)
    for _ in range(2):  # what was loaded is not changed by going on
        back.load_state_dict(beginning)
        assert back._memory == {}
        back.fit(points(256), steps=5, batch=16)
    straight.fit(points(256), steps=5, batch=16)
    assert_same_networks(straight, back)


@pytest.mark.parametrize("wrap", [lambda base: base, Extragradient])
def test_a_state_can_be_loaded_twice(wrap: Any) -> None:
    options = dict.fromkeys(("g_optimizer", "d_optimizer"), lambda weights: wrap(adam(weights)))
    trainer = make(**options)
    trainer.fit(points(256), steps=3, batch=16)
    state, ends = unpack(pack(trainer.state_dict())), []
    for _ in range(2):
        trainer.load_state_dict(state)
        trainer.fit(points(256), steps=6, batch=16)
        ends.append((flat(trainer.generator), flat(trainer.discriminator)))
    assert all(map(torch.equal, *ends))


def test_two_penalties_of_a_kind_remember_apart() -> None:
    """Each is what it is alone."""
    fast, slow = Weighted(lecam(decay=0.5), 1e-6), Weighted(lecam(decay=0.99), 1e-6)
    both = make(penalties={"fast": fast, "slow": slow}).step
    alone = {"fast": make(penalties={"fast": fast}).step, "slow": make(penalties={"slow": slow}).step}
    for _ in range(5):
        numbers = both(points())
        for name, step in alone.items():
            torch.testing.assert_close(numbers[f"{name}_loss"], step(points())[f"{name}_loss"], rtol=1e-3, atol=0)
    assert numbers["fast_loss"] != numbers["slow_loss"]


def test_clipping_holds_after_every_update() -> None:
    trainer = make(constraints=[Constrained(clip(0.01)), Constrained(clip(0.05), to="G", every=2)])
    trainer.step(points())
    assert flat(trainer.discriminator).abs().max() <= 0.01
    assert flat(trainer.generator).abs().max() > 0.05
    trainer.step(points())
    assert flat(trainer.generator).abs().max() <= 0.05


def test_spectral_norm_of_both_players() -> None:
    def build() -> Trainer:
        return make(constraints=[Constrained(spectral_norm()), Constrained(spectral_norm(), to="G")])

    trainer = build()
    trainer.fit(points(256), steps=60, batch=32)
    # The average has the vectors of the generator: a mean of vectors of length 1 would be shorter.
    ours, theirs = (dict(it.named_buffers()) for it in (trainer.average, trainer.generator))
    assert len(ours) == 8
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for network in (trainer.discriminator, trainer.generator):
        for layer in network:
            if isinstance(layer, nn.Linear):
                assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, rel=0.1)
    assert_same_networks(*resumed(build, steps=7, at=3))


# Optimizers and schedules.


def test_scheduled_settings_follow_kimg() -> None:
    optimizer = Scheduled(
        torch.optim.Adam, lr=Linear(from_=1e-3, to=0.0, end=0.128), betas=(0.0, Step((0.9, 0.99), (0.064,)))
    )
    trainer = make(d_optimizer=optimizer)
    seen = []
    for _ in range(6):
        trainer.step(points())
        group = trainer._players["D"].optimizer.param_groups[0]
        seen.append((group["lr"], group["betas"]))
    assert [lr for lr, _ in seen] == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0, 0])
    assert [beta2 for _, (_, beta2) in seen] == [0.9, 0.9, 0.99, 0.99, 0.99, 0.99]


def test_scheduled_settings_survive_a_resume() -> None:
    def build() -> Trainer:
        optimizer = Scheduled(torch.optim.Adam, lr=Linear(from_=1e-2, to=0.0, end=0.2), fused=True)
        return make(g_optimizer=optimizer, d_optimizer=optimizer, ema=Ema(Linear(from_=0.0, to=1.0, end=0.1)))

    assert_same_networks(*resumed(build, steps=9, at=4))


def test_extragradient_takes_two_gradients_on_one_batch_for_one_update() -> None:
    def extra(weights: Any) -> Extragradient:
        return Extragradient(torch.optim.SGD(weights, lr=0.1))

    taken: list[int] = []

    def batches() -> Iterator[Tensor]:
        while True:
            taken.append(len(taken))
            yield points()

    discriminator = Counting(mlp_discriminator((2,)))
    trainer = make(discriminator, g_optimizer=extra, d_optimizer=extra, balance=Simultaneous())
    source = batches()
    for _ in range(3):
        trainer.step(source)
    assert trainer.updates == {"D": 3, "G": 3}
    assert trainer.nimg == 3 * 32
    assert discriminator.passes == 3 * 4


def test_extragradient_of_one_player_beside_another_optimizer() -> None:
    """G's single gradient is taken at the snapshot where D's second one is."""
    trainer = make(d_optimizer=lambda weights: Extragradient(torch.optim.SGD(weights, lr=0.1)), balance=Simultaneous())
    trainer.step(points())
    assert trainer.updates == {"D": 1, "G": 1}


def test_extragradient_converges_where_simultaneous_descent_does_not() -> None:
    """The bilinear game D(x) = w x, G(z) = t, on reals at 0 with the Wasserstein loss: D minimizes w t, G -w t."""

    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.t = nn.Parameter(torch.ones(1))

        def forward(self, z: Tensor) -> Tensor:
            return self.t.expand(len(z), 1)

    def distance(wrap: Callable[..., Any]) -> float:
        critic = nn.Linear(1, 1, bias=False)
        nn.init.ones_(critic.weight)
        trainer = make(
            critic,
            generator=Point(),
            loss=LOSSES["wasserstein"],
            balance=Simultaneous(),
            g_optimizer=lambda weights: wrap(torch.optim.SGD(weights, lr=0.2)),
            d_optimizer=lambda weights: wrap(torch.optim.SGD(weights, lr=0.2)),
        )
        for _ in range(200):
            trainer.step(torch.zeros(4, 1))
        return math.hypot(critic.weight.item(), trainer.generator.t.item())

    assert distance(lambda optimizer: optimizer) > 10
    assert distance(Extragradient) < 0.1


# Top-k.


def test_top_k_keeps_the_best_fakes() -> None:
    trainer = make(top_k=0.25, g_optimizer=sgd)
    z = torch.randn(16, 4)
    with torch.no_grad():
        logits = trainer.discriminator(trainer.generator(z))[:, 0]
    best = logits.topk(4).indices
    by_hand = make(g_optimizer=sgd)
    numbers, expected = trainer.generator_step(z), by_hand.generator_step(z[best])
    torch.testing.assert_close(numbers["g_loss"], expected["g_loss"])
    torch.testing.assert_close(flat(trainer.generator), flat(by_hand.generator))
    torch.testing.assert_close(numbers["d_fake_g"], logits.mean())


@pytest.mark.parametrize(("share", "n", "k"), [(0.07, 100, 7), (0.28, 25, 7), (0.55, 100, 55), (0.71, 10, 8)])
def test_top_k_rounds_up_what_is_no_whole_number(share: float, n: int, k: int) -> None:
    """Also where share * n is a little more than a whole number only as floats are, as 0.07 * 100."""
    trainer, z = make(top_k=share), torch.randn(n, 4)
    with torch.no_grad():
        best = trainer.discriminator(trainer.generator(z)).flatten().sort(descending=True).values[:k]
    torch.testing.assert_close(trainer.generator_step(z)["g_loss"], nn.functional.softplus(-best).mean())


def test_top_k_is_annealed() -> None:
    trainer = make(top_k=Linear(from_=1.0, to=0.5, end=0.064))
    z = torch.randn(8, 4)
    with torch.no_grad():
        losses = nn.functional.softplus(-trainer.discriminator(trainer.generator(z))).mean()
    torch.testing.assert_close(trainer.generator_step(z)["g_loss"], losses)
    for _ in range(3):
        trainer.step(points())
    with torch.no_grad():
        losses = nn.functional.softplus(-trainer.discriminator(trainer.generator(z)))[:, 0].sort().values[:4].mean()
    torch.testing.assert_close(trainer.generator_step(z)["g_loss"], losses)


@pytest.mark.parametrize("top_k", [0.0, 1.5, math.nan])
def test_top_k_out_of_range(top_k: float) -> None:
    with pytest.raises(ConfigError, match="it is a share of the fakes, above 0 and at most 1"):
        make(top_k=top_k)


# The warm-up.


def warmed(steps: int = 5, **options: Any) -> Trainer:
    torch.manual_seed(3)
    encoder = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))
    return make(warmup=Autoencoder(encoder, steps, partial(torch.optim.Adam, lr=1e-2)), **options)


def test_the_generator_begins_as_a_decoder() -> None:
    trainer = warmed(steps=150)
    discriminator = flat(trainer.discriminator).clone()
    losses = [trainer.step(points())["warmup_loss"].item() for _ in range(150)]
    assert losses[-1] < 0.05 * losses[0]
    assert torch.equal(discriminator, flat(trainer.discriminator))
    assert trainer.updates == {"D": 0, "G": 0}
    assert (trainer.steps, trainer.nimg) == (150, 0)
    assert "warmup" not in trainer.state_dict()  # the encoder is dropped
    trainer.step(points())
    assert trainer.updates == {"D": 1, "G": 1}
    assert trainer.nimg == 32


def test_the_policy_counts_its_steps_after_the_warm_up() -> None:
    trainer = warmed(steps=2, balance=Alternating(pretrain_d=3))
    moved = []
    for _ in range(6):
        trainer.step(points())
        moved.append(trainer.updates["G"])
    assert moved == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("at", [2, 5, 7])
def test_a_warm_up_survives_a_resume(at: int) -> None:
    straight, second = resumed(lambda: warmed(steps=5), steps=9, at=at)
    assert_same_networks(straight, second)


def test_a_warm_up_that_is_over_is_not_gone_back_to() -> None:
    trainer = warmed(steps=5)
    trainer.fit(points(256), steps=3, batch=16)
    inside = unpack(pack(trainer.state_dict()))
    trainer.fit(points(256), steps=4, batch=16)
    trainer.load_state_dict(inside)
    assert trainer.steps == 3
    trainer.fit(points(256), steps=7, batch=16)
    before = flat(trainer.generator)
    words = "it is of step 3, inside the warm-up of 5 steps, of which this trainer has kept nothing.*into a new trainer"
    with pytest.raises(CheckpointError, match=words):
        trainer.load_state_dict(inside)
    assert (trainer.steps, torch.equal(flat(trainer.generator), before)) == (7, True)
    trainer.fit(points(256), steps=8, batch=16)


def test_an_encoder_that_gives_no_latents_is_refused() -> None:
    trainer = make(warmup=Autoencoder(nn.Linear(2, 3), 5, adam))
    with pytest.raises(
        ShapeError, match=r"the warm-up's encoder gives \(3,\) for each sample, and the generator takes"
    ):
        trainer.step(points())


# Networks that change with progress.


def test_progressive_networks_grow_with_kimg_and_survive_a_resume() -> None:
    images = torch.rand(64, 1, 16, 16) * 2 - 1

    def build() -> Trainer:
        torch.manual_seed(0)
        options = {"grow_kimg": (0.016, 0.048), "fade_kimg": 0.016, "width": 8}
        return Trainer(
            PRESETS["progressive"].generator(z_dim=4, shape=(1, 16, 16), **options),
            PRESETS["progressive"].discriminator(shape=(1, 16, 16), **options),
            z_dim=4,
            fabric=make_fabric("cpu"),
        )

    trainer = build()
    seen = []
    for _ in range(10):
        trainer.step(images[:8])
        networks = (trainer.generator, trainer.discriminator, trainer.average)
        assert len({(it.stage, it.alpha) for it in networks}) == 1
        seen.append((trainer.generator.resolution, trainer.generator.alpha))
    # Steps begin at 0, 8, 16, ... images.
    assert seen == [
        (4, 1), (4, 1), (8, 0), (8, 0.5), (8, 1), (8, 1), (16, 0), (16, 0.5), (16, 1), (16, 1),
    ]  # fmt: skip
    straight, first, second = build(), build(), build()
    straight.fit(images, steps=8, batch=8)
    first.fit(images, steps=4, batch=8)
    second.load_state_dict(unpack(pack(first.state_dict())))
    assert second.average.resolution == 8
    second.fit(images, steps=8, batch=8)
    assert_same_networks(straight, second)


# What is warned of.


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Sequential(nn.Sigmoid(), nn.Flatten(0))])
def test_probabilities_are_warned_of_once(last: nn.Module) -> None:
    trainer = make(nn.Sequential(nn.Linear(2, 1), last))
    with pytest.warns(UserWarning, match="gives probabilities, and losses expect logits; leave that layer out"):
        trainer.step(points())
    trainer.step(points())  # a second warning would be an error
