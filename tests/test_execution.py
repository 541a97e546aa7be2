"""Every way to carry a move out gives the numbers of eager execution in float32."""

import math
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poise.balance import Accumulate, Alternating, Balance, Balanced, ProportionalControl, Simultaneous
from poise.constraints import Constrained, clip, spectral_norm
from poise.errors import ConfigError, DeviceError, NonFiniteError
from poise.losses import LOSSES, AdversarialLoss
from poise.models import PRESETS, dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from poise.optimizers import Extragradient
from poise.parallel import World
from poise.penalties import PENALTIES, Weighted, feature_matching
from poise.schedules import Linear, Scheduled
from poise.trainer import Autoencoder, Trainer, choose_execution, choose_precision, make_fabric
from poise.trainer.compiled import Compiled
from poise.trainer.execution import Eager, Execution, InParts, OverProcesses
from poise.trainer.graphs import Graphs
from poise.trainer.guard import Guard

# Steps of Adam are made of the signs of gradients, even where only rounding gives them one.
sgd = partial(torch.optim.SGD, lr=0.05)
adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.9), fused=True)


FUSED = {"g_optimizer": adam, "d_optimizer": adam}


def points(n: int = 16) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(3))


def make(generator: nn.Module | None = None, discriminator: nn.Module | None = None, **options: Any) -> Trainer:
    torch.manual_seed(0)
    given = {"g_optimizer": sgd, "d_optimizer": sgd, "z_dim": 4, "fabric": make_fabric("cpu")} | options
    return Trainer(
        generator or mlp_generator(4, (2,), width=16, depth=2),
        discriminator or mlp_discriminator((2,), width=16, depth=2),
        **given,
    )


def sequence(*layers: Callable[[], nn.Module]) -> nn.Sequential:
    """The same weights every time."""
    torch.manual_seed(1)
    return nn.Sequential(*(layer() for layer in layers))


def linear(inputs: int, outputs: int) -> Callable[[], nn.Module]:
    return partial(nn.Linear, inputs, outputs)


def played(trainer: Trainer, steps: int = 3, real: Tensor | None = None) -> dict[str, Tensor]:
    for _ in range(steps):
        numbers = trainer.step(points() if real is None else real)
    return numbers


def assert_same(one: Trainer, other: Trainer, tolerance: float = 1e-5) -> None:
    """The same weights, statistics, numbers and counts."""
    left, right = one.state_dict(), other.state_dict()
    for network in ("generator", "discriminator", "ema"):
        for name, value in left[network].items():
            torch.testing.assert_close(value, right[network][name], rtol=tolerance, atol=tolerance, msg=name)
    assert (one.nimg, one.steps, one.updates) == (other.nimg, other.steps, other.updates)
    assert one.meters.latest.keys() == other.meters.latest.keys()
    for name, value in one.meters.latest.items():
        torch.testing.assert_close(value, other.meters.latest[name], rtol=1e-4, atol=tolerance, msg=name)
    for name, value in left["memory"].items():
        torch.testing.assert_close(value, right["memory"][name], rtol=tolerance, atol=tolerance)


def weighted(**penalties: float) -> dict[str, Weighted]:
    return {name: Weighted(PENALTIES[name], weight) for name, weight in penalties.items()}


class Error(nn.Module):
    """Scores of at most 0, such as those of autoencoders."""

    def forward(self, x: Tensor) -> Tensor:
        return -x.abs()


# What variants of a training the executions must get through.
VARIANTS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "lazy": lambda: {"penalties": {"r1": Weighted(PENALTIES["r1"], 0.1, every=2)}},
    "both sides": lambda: {"penalties": weighted(r1=0.1, r2=0.1), "loss": LOSSES["relativistic"]},
    "scheduled": lambda: {
        "penalties": {"wgan_gp": Weighted(PENALTIES["wgan_gp"], Linear(1.0, 0.0, end=0.1))},
        "d_optimizer": Scheduled(torch.optim.SGD, lr=Linear(0.05, 0.0, end=0.1)),
    },
    "five steps": lambda: {"balance": Alternating(5), "constraints": [Constrained(clip(0.5))]},
    "control": lambda: {
        "balance": ProportionalControl(lambda_k=0.1),
        "loss": LOSSES["wasserstein"],
        "discriminator": sequence(linear(2, 1), Error),
    },
    "top k": lambda: {"top_k": 0.5},
    "spectral norm": lambda: {"constraints": [Constrained(spectral_norm())]},
    "batch norm": lambda: {
        "generator": sequence(linear(4, 8), partial(nn.BatchNorm1d, 8), nn.ReLU, linear(8, 2)),
        "discriminator": sequence(linear(2, 8), partial(nn.BatchNorm1d, 8), nn.ReLU, linear(8, 1)),
    },
    "dropout": lambda: {"discriminator": sequence(linear(2, 8), nn.ReLU, nn.Dropout, linear(8, 1))},
    # What is left to eager execution, phase by phase.
    "simultaneous": lambda: {"balance": Simultaneous()},
    "balanced": lambda: {"balance": Balanced()},
    "gathered": lambda: {"balance": Accumulate(2)},
    "extragradient": lambda: {"d_optimizer": lambda weights: Extragradient(sgd(weights))},
    "warm-up": lambda: {"warmup": Autoencoder(sequence(linear(2, 8), nn.ReLU, linear(8, 4)), 2, sgd)},
}


def verdicts(loss: AdversarialLoss) -> nn.Module:
    """A discriminator with as many outputs as the loss reads."""
    return sequence(linear(2, 16), nn.ReLU, linear(16, loss.outputs or 1))


READS_KIMG = "a penalty reads kimg, of which programs would keep one value: schedule its weight"


# torch.compile.


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are traced and differentiated as ever, and run without a compiler, which takes long."""
    monkeypatch.setattr("poise.trainer.trainer.Compiled", partial(Compiled, backend="aot_eager"))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", VARIANTS)
def test_compiled_moves_are_those_of_eager_execution(name: str) -> None:
    options = VARIANTS[name]
    eager, compiled = make(**options()), make(**options(), execution="compile")
    played(eager, 4), played(compiled, 4)
    assert_same(eager, compiled)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", sorted(set(PENALTIES) - {"feature_matching"}))
def test_compiled_penalties_are_those_of_eager_execution(name: str) -> None:
    eager, compiled = (make(penalties=weighted(**{name: 0.1}), execution=it) for it in ("eager", "compile"))
    played(eager), played(compiled)
    assert_same(eager, compiled)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", LOSSES)
def test_compiled_losses_are_those_of_eager_execution(name: str) -> None:
    loss = LOSSES[name]
    eager, compiled = (make(None, verdicts(loss), loss=loss, execution=it) for it in ("eager", "compile"))
    played(eager), played(compiled)
    assert_same(eager, compiled)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_a_compiled_training_goes_on_from_where_it_was_saved() -> None:
    """By the real compiler, for both players, with penalties that share D's pass."""
    make_one = partial(make, penalties=weighted(r1=0.1, r2=0.1), execution="compile", d_optimizer=adam)
    straight, first, second = make_one(), make_one(), make_one()
    played(straight, 4), played(first, 2)
    second.load_state_dict(first.state_dict())
    played(second, 2)
    for name, value in straight.state_dict()["generator"].items():
        assert torch.equal(value, second.generator.state_dict()[name])
    eager = make(penalties=weighted(r1=0.1, r2=0.1), d_optimizer=adam)
    played(eager, 4)
    assert_same(eager, straight, tolerance=1e-4)


@pytest.mark.usefixtures("traced")
def test_compiled_gradients_lie_in_memory_as_their_weights_do() -> None:
    """Fused optimizers take no notice of strides."""

    def one(execution: str) -> Trainer:
        torch.manual_seed(0)
        networks = dcgan_generator(4, (3, 16, 16), 8), dcgan_discriminator((3, 16, 16), 8, norm="none")
        trainer = make(*networks, **FUSED, penalties=weighted(wgan_gp=10.0), execution=execution)
        real = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.5
        played(trainer, 2, real)
        return trainer

    eager, compiled = one("eager"), one("compile")
    for weight in compiled.discriminator.parameters():
        assert weight.grad is not None
        assert weight.grad.stride() == weight.stride()
    assert_same(eager, compiled, tolerance=1e-4)


@pytest.mark.usefixtures("traced")
def test_what_cannot_be_compiled_is_said_once_and_done_eagerly() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) if float(x.detach().sum()) > 0 else self.layer(2 * x)

    eager, compiled = make(None, sequence(Odd)), make(None, sequence(Odd), execution="compile")
    with pytest.warns(UserWarning, match="going on without compiling: "):
        played(compiled, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        played(compiled, 2)
    played(eager)
    assert_same(eager, compiled)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("penalty", "words"),
    [
        (feature_matching(layers=["1"]), "a penalty looks at what inner layers put out"),
        (
            lambda scene: scene.fake_logits.square() * scene.kimg,
            READS_KIMG,
        ),
    ],
)
def test_penalties_that_cannot_be_compiled(penalty: Any, words: str) -> None:
    eager, compiled = (make(penalties={"own": Weighted(penalty, 0.1)}, execution=it) for it in ("eager", "compile"))
    with pytest.warns(UserWarning, match=words):
        played(compiled)
    played(eager)
    assert_same(eager, compiled)


@pytest.mark.usefixtures("traced")
def test_mistakes_are_told_as_in_eager_execution() -> None:
    trainer = make(mlp_generator(4, (3,)), execution="compile")
    with (
        pytest.warns(UserWarning, match="going on without compiling"),
        pytest.raises(ValueError, match=r"the generator makes samples of shape \(3,\), the data has \(2,\)"),
    ):
        trainer.step(points())


# CUDA graphs, with a recorder that needs no GPU.


class Rerun:
    """Records work by keeping it, on the same memory; counts what it did.

    As on a device, work is also called while it is recorded, and its operations have no effect then.
    """

    trainer: Trainer

    def __init__(self) -> None:
        self.warm_ups = self.recordings = self.replays = 0

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        self.warm_ups += 1
        return work()

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recordings += 1
        recorded: list[Tensor] = []
        optimizers = list(self.trainer._moves.optimizers)
        tensors = [*self.trainer.generator.state_dict().values(), *self.trainer.discriminator.state_dict().values()]
        for optimizer in optimizers:
            tensors += [it for state in optimizer.state.values() for it in state.values()]
        before = [it.clone() for it in tensors]
        with torch.random.fork_rng():
            work()
        for it, old in zip(tensors, before, strict=True):
            it.copy_(old)

        def replay() -> Tensor:
            self.replays += 1
            result = work()
            if not recorded:
                recorded.append(result)
            return recorded[0].copy_(result)  # what a replay gives is overwritten by the next

        return replay


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poise.trainer.trainer.Guard", partial(Guard, deferred=True))


def recorded(recorder: Rerun | None = None, **options: Any) -> Trainer:
    trainer = make(**options)
    changes = bool(trainer._changing)
    optimizers = list(trainer._moves.optimizers)
    recorder = recorder or Rerun()
    recorder.trainer = trainer
    trainer._execution = Graphs(recorder, optimizers, changes, trainer._guard.deferred)
    return trainer


@pytest.mark.usefixtures("deferred")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"penalties": {"r1": Weighted(PENALTIES["r1"], 0.1, every=2)}},
        {"balance": Simultaneous()},
        {"balance": Alternating(2), "constraints": [Constrained(clip(0.5))]},
        {"d_optimizer": Scheduled(torch.optim.Adam, lr=Linear(1e-3, 0.0, end=0.3), fused=True)},
        {"penalties": {"wgan_gp": Weighted(PENALTIES["wgan_gp"], 1.0)}},
        {"loss": LOSSES["relativistic"]},
        {"penalties": {"r1": Weighted(PENALTIES["r1"], Linear(1.0, 0.0, end=0.1))}},
        {"penalties": {"lecam": Weighted(PENALTIES["lecam"], 0.1)}, "balance": Alternating(2)},
        {"d_optimizer": Scheduled(torch.optim.Adam, lr=1e-3, betas=(0.0, Linear(0.9, 0.99, end=0.1)), fused=True)},
    ],
    ids=[
        "plain",
        "lazy",
        "simultaneous",
        "clipped",
        "lr",
        "random",
        "relativistic",
        "weight",
        "remembering",
        "betas",
    ],
)
def test_replayed_phases_are_those_of_eager_execution(options: dict[str, Any]) -> None:
    recorder = Rerun()
    eager, graph = make(**FUSED | options), recorded(recorder, **FUSED | options)
    for index in range(12):
        real = points() + 0.1 * index  # what is replayed reads the samples of now
        eager.step(real), graph.step(real)
    assert recorder.recordings > 0
    assert recorder.replays > recorder.recordings
    assert_same(eager, graph)
    assert eager.read().keys() == graph.read().keys()
    for name, value in eager.read().items():
        assert graph.read()[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.usefixtures("deferred")
def test_the_first_phases_of_a_kind_are_eager() -> None:
    recorder = Rerun()
    played(recorded(recorder, **FUSED), 3)
    assert (recorder.warm_ups, recorder.recordings) == (6, 0)
    played(trainer := recorded(recorder, **FUSED), 4)
    assert (recorder.warm_ups, recorder.recordings, recorder.replays) == (12, 2, 2)
    assert trainer.updates == {"D": 4, "G": 4}


@pytest.mark.usefixtures("deferred")
def test_recording_goes_on_after_a_state_was_loaded() -> None:
    recorder = Rerun()
    eager, graph = make(**FUSED), recorded(recorder, **FUSED)
    groups = [group for it in graph._moves.optimizers for group in it.param_groups]
    rates = [group["lr"] for group in groups]
    for trainer in (eager, graph):
        played(trainer, 5)
        state = deepcopy(trainer.state_dict())
        played(trainer, 3)
        before = recorder.recordings
        trainer.load_state_dict(state)
        played(trainer, 5)
    assert recorder.recordings == 2 * before > 0  # what was recorded reads moments that are no more
    assert_same(eager, graph)
    groups = [group for it in graph._moves.optimizers for group in it.param_groups]
    for group, rate in zip(groups, rates, strict=True):
        assert group["capturable"]
        assert group["lr"] is rate


@pytest.mark.parametrize("around", [lambda it: InParts(it, 2), lambda it: OverProcesses(it, World(0, 1))])
def test_what_is_around_an_execution_lets_it_forget(around: Callable[[Execution], Execution]) -> None:
    forgotten: list[str] = []

    class Forgetful(Eager):
        def forget(self) -> None:
            forgotten.append("all")

    around(Forgetful()).forget()
    assert forgotten == ["all"]


@pytest.mark.parametrize(
    ("options", "network"),
    [
        ({"d_optimizer": lambda weights: Extragradient(sgd(weights))}, "discriminator"),
        ({"balance": Simultaneous(), "d_optimizer": lambda weights: Extragradient(sgd(weights))}, "discriminator"),
        ({"balance": Accumulate(2)}, "generator"),
    ],
    ids=["extragradient", "simultaneous", "accumulate"],
)
def test_what_was_taken_of_an_update_is_left_out_with_it(options: dict[str, Any], network: str) -> None:
    """NaN comes after the first gradients of an update."""
    left = [10**6]

    def d(real: Tensor, fake: Tensor) -> Tensor:
        left[0] -= 1
        return LOSSES["vanilla"].d(real, fake) * (1.0 if left[0] >= 0 else math.nan)

    trainer = make(loss=LOSSES["vanilla"]._replace(d=d), **options)
    played(trainer, 2)
    before = deepcopy(trainer.state_dict()[network])
    left[0] = 1
    with pytest.raises(NonFiniteError):
        played(trainer, 1)
    left[0] = 10**6
    trainer.skip()
    torch.testing.assert_close(trainer.state_dict()[network], before)
    real, other = points(), make(**options)
    other.load_state_dict(deepcopy(trainer.state_dict()))
    played(trainer, 3, real), played(other, 3, real)
    assert_same(trainer, other)


@pytest.mark.usefixtures("deferred")
@pytest.mark.parametrize("balance", [Balanced(), Accumulate(2)])
def test_phases_that_cannot_be_recorded_are_eager(balance: Balance) -> None:
    recorder = Rerun()
    played(recorded(recorder, balance=balance, **FUSED), 6)
    assert recorder.recordings == 0


@pytest.mark.usefixtures("deferred")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top_k": Linear(1.0, 0.5, end=9.0)}, "more than 8 kinds of moves, as where top_k changes every step"),
        (
            {"penalties": {"own": Weighted(lambda scene: scene.fake_logits.square() * scene.kimg, 0.1)}},
            READS_KIMG,
        ),
    ],
)
def test_what_cannot_be_recorded_is_said_once_and_done_eagerly(options: dict[str, Any], words: str) -> None:
    eager, graph = make(**FUSED | options), recorded(**FUSED | options)
    with pytest.warns(UserWarning, match=f"going on without CUDA graphs: .*{words}") as seen:
        played(graph, 45)
    assert len(seen) == 1
    played(eager, 45)
    assert_same(eager, graph)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d_optimizer": sgd, "g_optimizer": sgd}, "an optimizer cannot skip an update by a flag on the device"),
        (FUSED, "an optimizer cannot skip an update by a flag on the device"),  # the CPU's check reads at once
    ],
)
def test_trainings_that_cannot_be_recorded(options: dict[str, Any], words: str) -> None:
    with pytest.warns(UserWarning, match=f"going on without CUDA graphs: {words}"):
        trainer = recorded(**options)
    played(trainer)


@pytest.mark.usefixtures("deferred")
def test_a_replayed_failure_names_its_step_and_changes_nothing() -> None:
    trainer = recorded(**FUSED)
    played(trainer, 6)
    before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
    trainer.step(torch.full((16, 2), torch.nan))
    with pytest.raises(NonFiniteError, match="step 6: the discriminator's loss is not finite"):
        trainer.read()
    for name, value in trainer.generator.state_dict().items():
        assert torch.equal(value, before[name])


# Accumulation.


@pytest.mark.parametrize("parts", [2, 3, 16, 40])
@pytest.mark.parametrize("name", ["plain", "lazy", "both sides", "five steps", "simultaneous", "balanced", "gathered"])
def test_a_batch_in_parts_is_the_batch(name: str, parts: int) -> None:
    options = VARIANTS[name]
    whole, parted = make(**options()), make(**options(), accumulate=parts)
    played(whole), played(parted)
    assert_same(whole, parted)


@pytest.mark.usefixtures("traced")
def test_parts_may_be_compiled() -> None:
    eager, compiled = make(), make(accumulate=2, execution="compile")
    played(eager), played(compiled)
    assert_same(eager, compiled)


def test_parts_need_less_memory() -> None:
    """What a pass keeps for its gradients is a part's."""

    def kept(**options: Any) -> int:
        sizes: list[int] = []

        class Watching(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                sizes.append(len(x))
                return x

        trainer = make(None, nn.Sequential(Watching(), nn.Linear(2, 1)), **options)
        sizes.clear()
        played(trainer, 1)
        return max(sizes)

    assert (kept(), kept(accumulate=4)) == (32, 8)  # reals and fakes


def test_accumulate_is_at_least_1() -> None:
    with pytest.raises(ConfigError, match="accumulate is 0; it must be at least 1"):
        make(accumulate=0)
    assert isinstance(make(accumulate=2)._execution, InParts)


# Passes and memory formats.


@pytest.mark.parametrize(
    ("layers", "alone"),
    [
        ([nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)], True),
        ([nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1))], True),
        ([nn.Linear(2, 8), nn.LayerNorm(8), nn.Linear(8, 1)], True),
        ([nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)], False),
        ([nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, 1)], False),
    ],
)
def test_d_sees_reals_and_fakes_in_one_pass_where_it_judges_each_alone(layers: list[nn.Module], alone: bool) -> None:
    sizes: list[int] = []
    discriminator = nn.Sequential(*layers)
    trainer = make(None, discriminator)
    discriminator.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    played(trainer, 1)
    assert sizes == ([32, 16] if alone else [16, 16, 16])


@pytest.mark.parametrize("names", [(), ("r1",), ("r2",), ("r1", "r2"), ("roth",), ("wgan_gp", "r1")])
def test_one_pass_gives_what_two_give(names: tuple[str, ...]) -> None:
    penalties = weighted(**dict.fromkeys(names, 0.1))
    one, two = make(penalties=penalties), make(penalties=penalties)
    two._joint = False
    played(one), played(two)
    assert_same(one, two)


def test_trying_networks_leaves_them_as_they_are() -> None:
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1)), nn.BatchNorm1d(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    Trainer(mlp_generator(4, (2,)), network, z_dim=4, fabric=make_fabric("cpu"))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.manual_seed(0)
    make()
    assert len(state) == len(torch.get_rng_state())


class Viewing(nn.Module):
    """As many write it: a view across channels, which other memory formats do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.linear = nn.Linear(4 * 36, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convolution(x).view(len(x), -1))


def test_images_lie_channels_last_where_the_networks_allow_it() -> None:
    generator, discriminator = dcgan_generator(4, (1, 8, 8), 8), dcgan_discriminator((1, 8, 8), 8)
    trainer = make(generator, discriminator)
    weight = discriminator[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    trainer.fit(torch.randn(64, 1, 8, 8), steps=2, batch=16)
    assert discriminator[0].weight is weight
    viewing = Viewing()
    trainer = make(dcgan_generator(4, (1, 8, 8), 8), viewing)
    trainer.fit(torch.randn(64, 1, 8, 8), steps=2, batch=16)
    assert viewing.convolution.weight.is_contiguous()


# Precisions.


def numbers_in(
    precision: str, discriminator: Callable[[], nn.Module] = lambda: mlp_discriminator((2,), width=16), **options: Any
) -> tuple[dict[str, float], Trainer]:
    torch.manual_seed(0)
    trainer = make(None, discriminator(), **options, fabric=make_fabric("cpu", precision))
    return {name: float(value) for name, value in played(trainer, 1).items()}, trainer


def assert_close_in_bf16(**options: Any) -> None:
    """Within what 8 bits allow; logits here are about 0.1, so that differences of them are a few percent off."""
    (full, _), (mixed, trainer) = (numbers_in(it, **options) for it in ("32-true", "bf16-mixed"))
    assert full.keys() == mixed.keys()
    for name in full.keys() - {"d_accuracy"}:
        assert mixed[name] == pytest.approx(full[name], rel=0.08, abs=0.02), name
    assert {value.dtype for value in trainer.meters.latest.values()} == {torch.float32}
    assert {weight.dtype for weight in trainer.generator.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_in_bf16(name: str) -> None:
    loss = LOSSES[name]
    assert_close_in_bf16(discriminator=lambda: verdicts(loss), loss=loss)


@pytest.mark.parametrize("name", sorted(set(PENALTIES) - {"feature_matching"}))
def test_penalties_in_bf16(name: str) -> None:
    assert_close_in_bf16(penalties=weighted(**{name: 0.1}))


def test_feature_matching_in_bf16() -> None:
    assert_close_in_bf16(penalties={"feature_matching": Weighted(feature_matching(layers=["2"]), 1.0)})


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"progressive", "began"}))
def test_presets_train_in_bf16(name: str) -> None:
    preset, shape = PRESETS[name], (3, 32, 32)
    torch.manual_seed(0)
    networks = preset.generator(4, shape, width=8), preset.discriminator(shape, width=8)
    trainer = make(*networks, fabric=make_fabric("cpu", "bf16-mixed"))
    real = torch.randn(8, *shape)
    assert all(value.isfinite() for value in played(trainer, 2, real).values())
    assert trainer.sample(2).dtype == torch.float32


@pytest.mark.parametrize("execution", ["eager", "compile"])
@pytest.mark.usefixtures("traced")
def test_bf16_in_every_execution(execution: str) -> None:
    full, mixed = make(), make(fabric=make_fabric("cpu", "bf16-mixed"), execution=execution)
    played(full), played(mixed)
    assert_same_direction(full, mixed)


def assert_same_direction(one: Trainer, other: Trainer) -> None:
    left, right = (torch.cat([it.flatten() for it in trainer.generator.parameters()]) for trainer in (one, other))
    torch.testing.assert_close(left, right, rtol=0.02, atol=0.005)


@pytest.fixture
def arithmetic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    def has(native: bool) -> None:
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: native)
        monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)

    return has


def test_auto_precision(arithmetic: Callable[[bool], None]) -> None:
    arithmetic(True)
    assert str(choose_precision("auto", "cpu", (3, 8, 8))) == "bf16-mixed (auto: this CPU computes in bfloat16)"
    assert str(choose_precision("auto", "cpu", (2,))) == "32-true (auto: bfloat16 is too coarse for vectors)"
    assert choose_precision("32-true", "cpu", (3, 8, 8)).value == "32-true"
    arithmetic(False)
    assert str(choose_precision("auto", "cpu", (3, 8, 8))) == "32-true (auto: this CPU does not compute in bfloat16)"


def test_auto_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/c++")
    choices = {
        ("cuda", True, 10.0): "graph",
        ("cpu", True, 1e6): "eager",
        ("cpu", False, 1e6): "compile",
        ("cpu", False, 1000.0): "eager",
        ("cpu", False, None): "eager",
    }
    for (device, images, steps), value in choices.items():
        chosen = choose_execution("auto", device, images, steps)
        assert chosen.value == value
        assert chosen.why.startswith("auto: ")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert str(choose_execution("auto", "cpu", False, 1e6)) == "eager (auto: there is no C++ compiler)"


def test_executions_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match=r"execution is 'complie' \(did you mean 'compile'\?\)"):
        make(execution="complie")
    with pytest.raises(DeviceError, match="execution 'graph' is of CUDA devices; take compile, eager or auto"):
        make(execution="graph")


def test_deterministic_trainings_repeat_bit_for_bit() -> None:
    try:
        weights = []
        for _ in range(2):
            generator, discriminator = dcgan_generator(4, (1, 8, 8), 8), dcgan_discriminator((1, 8, 8), 8)
            torch.manual_seed(0)
            for weight in (*generator.parameters(), *discriminator.parameters()):
                nn.init.normal_(weight, std=0.1)
            trainer = make(generator, discriminator, fabric=make_fabric("cpu", deterministic=True))
            trainer.fit(torch.ones(64, 1, 8, 8), steps=5, batch=16)
            weights.append(torch.cat([it.flatten() for it in generator.parameters()]))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.equal(*weights)
    finally:
        torch.use_deterministic_algorithms(False)
