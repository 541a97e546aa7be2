"""Penalties in closed form: a linear critic's gradient is its weight everywhere."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import pad

import poise.penalties
from poise.errors import ConfigError, ShapeError
from poise.models import build
from poise.penalties import (
    MEASURES,
    PENALTIES,
    GradientPenalty,
    Penalty,
    Scene,
    Weighted,
    adversarial_norm,
    bcr,
    dragan,
    feature_matching,
    gradient_norm,
    gradient_penalty,
    layer_named,
    lecam,
    log_name,
    orthogonal,
    player_of,
    wgan_gp,
    zcr,
    zcr_g,
)

W = torch.tensor([3.0, -4.0, 12.0])  # norm 13
OF_A_LINEAR_CRITIC = {
    "wgan_gp": (13.0 - 1) ** 2,
    "dragan": (13.0 - 1) ** 2,
    "r1": 13.0**2 / 2,
    "r2": 13.0**2 / 2,
    "zero_gp": 13.0**2,
    "max_gp": 13.0**2,
}
NEEDS_A_GENERATOR = {"zcr", "zcr_g"}
NEEDS_FEATURES = {"feature_matching"}
NEEDS_A_MODULE = {"orthogonal"}

# Every entry, and forms of it that are not the default.
FORMS: dict[str, Penalty] = dict(PENALTIES) | {
    "wgan_gp one-sided": wgan_gp(target=0.1, one_sided=True),
    "dragan wide": dragan(target=0.5, spread=1.0),
    "adversarial_norm fake": adversarial_norm("fake"),
    "lecam one-sided": lecam(one_sided=True),
    "bcr fakes only": bcr(real=0.0, fake=2.0, jitter=0.5),
    "feature_matching": feature_matching(["0"]),
    "feature_matching sample": feature_matching(["0", "1"], reduce="sample"),
    "orthogonal off the diagonal": orthogonal(diagonal=False),
}


def linear(x: Tensor) -> Tensor:
    return (x.flatten(1) @ W.to(x))[:, None] + 5


def half_square(x: Tensor) -> Tensor:
    """A critic whose gradient at x is x."""
    return 0.5 * x.flatten(1).square().sum(1)


class Game(nn.Module):
    """A generator, a discriminator and a deal, all small, smooth and in float64; its output is a penalty."""

    def __init__(self, penalty: Penalty, n: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.d = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        self.g = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        self.double()
        self.real = torch.randn(n, 2, dtype=torch.float64)
        self.z = torch.randn(n, 2, dtype=torch.float64)
        # D judges reals better, so that gradient_norm is not 0.
        if self.d(self.real).mean() < self.d(self.g(self.z)).mean():
            with torch.no_grad():
                self.d[2].weight.neg_()
        self.penalty = penalty

    def scene(self) -> Scene:
        scene = Scene(self.d, real=self.real, generator=self.g, z=self.z, layers=getattr(self.penalty, "layers", ()))
        scene.player, scene.entry = player_of(self.penalty), "mine"
        return scene

    def forward(self) -> Tensor:
        torch.manual_seed(1)
        return self.penalty(self.scene())

    def weights(self) -> dict[str, Tensor]:
        """Those of the penalty's player."""
        letter = player_of(self.penalty).lower()
        return {name: weight for name, weight in self.named_parameters() if name.startswith(letter)}


# What holds for all of them.


def test_every_entry_is_covered() -> None:
    assert set(PENALTIES) <= set(FORMS)
    assert set(OF_A_LINEAR_CRITIC) <= set(PENALTIES)
    assert {name for name, it in PENALTIES.items() if isinstance(it, GradientPenalty)} == set(OF_A_LINEAR_CRITIC)


@pytest.mark.parametrize("name", FORMS)
def test_one_value_a_sample_or_one_number(name: str) -> None:
    game = Game(FORMS[name], n=5)
    values = game()
    assert values.shape in [(5,), ()]
    assert values.isfinite().all()
    assert values.dtype == torch.float64


@pytest.mark.parametrize("name", FORMS)
def test_its_player_is_given_a_gradient(name: str) -> None:
    game = Game(FORMS[name], n=5)
    game().mean().backward()
    gradients = [weight.grad for weight in game.weights().values() if weight.grad is not None]
    assert any(gradient.count_nonzero() for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", FORMS)
def test_it_is_a_value(name: str) -> None:
    """It is copied and pickled, and has no state: the same deal gives the same value again."""
    game = Game(FORMS[name])
    expected = game()
    for twin in (game.penalty, copy.deepcopy(game.penalty), pickle.loads(pickle.dumps(game.penalty))):
        game.penalty = twin
        torch.testing.assert_close(game(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_function_of_the_same_name_builds_it(name: str) -> None:
    built = getattr(poise.penalties, name)()
    assert type(built) is type(PENALTIES[name])
    if name not in NEEDS_FEATURES:
        torch.testing.assert_close(Game(built)(), Game(PENALTIES[name])(), rtol=0, atol=0)


@pytest.mark.parametrize("name", FORMS)
def test_what_it_remembers_is_named_after_its_entry(name: str) -> None:
    scene = Game(FORMS[name]).scene()
    FORMS[name](scene)
    assert all(key.startswith("mine.") for key in scene.memory)
    assert all(isinstance(value, Tensor) and not value.requires_grad for value in scene.memory.values())


@pytest.mark.parametrize("name", FORMS)
def test_derivatives(name: str) -> None:
    penalty = FORMS[name]
    if name.startswith("lecam"):  # Its anchors are constants for the gradient; let them all but stand still.
        penalty = Anchored(lecam(1 - 1e-13, one_sided="one-sided" in name))
    game = Game(penalty)
    weights = game.weights()

    def of_weights(*values: Tensor) -> Tensor:
        return functional_call(game, dict(zip(weights, values, strict=True)), ())

    values = tuple(weight.detach().clone().requires_grad_() for weight in weights.values())
    assert torch.autograd.gradcheck(of_weights, values)
    assert torch.autograd.gradgradcheck(of_weights, values)


class Anchored:
    """A LeCam penalty in the middle of training."""

    def __init__(self, penalty: Penalty) -> None:
        self.penalty = penalty

    def __call__(self, scene: Scene) -> Tensor:
        scene.memory.update({"mine.real": torch.tensor(0.3), "mine.fake": torch.tensor(-0.4)})
        return self.penalty(scene)


@pytest.mark.parametrize("name", FORMS)
def test_a_flat_critic_stays_finite(name: str) -> None:
    game = Game(FORMS[name])
    for weight in game.parameters():
        nn.init.zeros_(weight)
    game().mean().backward()
    for weight in game.weights().values():
        assert weight.grad is None or weight.grad.isfinite().all()


@pytest.mark.parametrize("name", FORMS)
def test_equal_patches_are_as_one_logit(name: str) -> None:
    class Patches(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :, None, None].expand(-1, 1, 4, 2)

    game = Game(FORMS[name])
    expected = game()
    game.d = Patches(*game.d)
    torch.testing.assert_close(game(), expected)


@pytest.mark.parametrize("name", sorted(set(PENALTIES) - NEEDS_A_GENERATOR - NEEDS_FEATURES))
def test_gradient_penalty_takes_every_one_that_needs_no_generator(name: str) -> None:
    critic = nn.Linear(3, 1)
    values = gradient_penalty(PENALTIES[name], critic, torch.randn(4, 3) + 1, torch.randn(4, 3))
    assert values.shape == (4,)
    values.mean().backward()
    assert critic.weight.grad is not None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NEEDS_A_GENERATOR, "this penalty needs a generator and latents: it works in a Trainer only"),
        (
            NEEDS_FEATURES,
            "feature_matching was given no layers, and the discriminator returns no features.*give layers",
        ),
        (NEEDS_A_MODULE, r"looks at the discriminator's weights, so it must be a torch\.nn\.Module"),
    ],
)
def test_gradient_penalty_says_what_is_missing(names: set[str], message: str) -> None:
    for name in names:
        with pytest.raises(ConfigError, match=message):
            gradient_penalty(PENALTIES[name], linear, torch.randn(4, 3), torch.randn(4, 3))


def test_gradient_penalty_refuses_unequal_shapes() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\) and fake ones \(4, 2\).*check the generator's output"):
        gradient_penalty(PENALTIES["r1"], linear, torch.randn(4, 3), torch.randn(4, 2))


def test_players_and_names() -> None:
    assert {name for name, penalty in PENALTIES.items() if player_of(penalty) == "G"} == {"zcr_g", "feature_matching"}
    assert Weighted(PENALTIES["r1"], 0.1) == (PENALTIES["r1"], 0.1, 1, None)
    assert log_name("wgan_gp") == "gp_loss"
    assert log_name("r1") == "r1_loss"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: wgan_gp(target=-1), "target is -1; it must be at least 0 and finite"),
        (lambda: wgan_gp(target=math.inf), "target is inf; it must be at least 0 and finite"),
        (lambda: dragan(spread=math.inf), "spread is inf; it must be at least 0 and finite"),
        (lambda: bcr(jitter=math.inf), "jitter is inf; it must be above 0 and finite"),
        (lambda: bcr(fake=math.inf), "real is 1.0 and fake is inf; they must be at least 0 and finite, and one of"),
        (lambda: zcr(std=math.inf), "std is inf; it must be above 0 and finite"),
        (lambda: zcr_g(std=math.inf), "std is inf; it must be above 0 and finite"),
        (lambda: dragan(target=math.nan), "target is nan; it must be at least 0"),
        (lambda: dragan(spread=-0.5), "spread is -0.5; it must be at least 0"),
        (lambda: adversarial_norm("reel"), r"there is no mode 'reel' \(did you mean 'real'\?\)"),
        (lambda: lecam(decay=1.0), "decay is 1.0; it must be at least 0 and below 1"),
        (lambda: bcr(shift=0.6), "shift is 0.6; it is a share of the image's side, at least 0 and at most 0.5"),
        (lambda: bcr(jitter=0.0), "jitter is 0.0; it must be above 0"),
        (lambda: bcr(real=0, fake=0), "real is 0 and fake is 0; they must be at least 0 and finite, and one of them"),
        (lambda: bcr(real=2, fake=-1), "real is 2 and fake is -1"),
        (lambda: bcr(shift=0), "shift is 0 and flip is off, so that images stay as they are: give one of them"),
        (lambda: zcr(std=0), "std is 0; it must be above 0"),
        (lambda: zcr_g(std=-1), "std is -1; it must be above 0"),
        (lambda: feature_matching(["0"], reduce="batches"), r"reduce is 'batches' \(did you mean 'batch'\?\)"),
        (lambda: feature_matching("fc"), r"layers is the text 'fc'; give a list of names, such as \['fc'\]"),
    ],
)
def test_wrong_options_are_refused(build: Callable[[], Penalty], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


# Gradient penalties.


@pytest.mark.parametrize("name", OF_A_LINEAR_CRITIC)
def test_linear_critic(name: str) -> None:
    real, fake = torch.randn(7, 3), torch.randn(7, 3)
    penalty = gradient_penalty(PENALTIES[name], linear, real, fake)
    torch.testing.assert_close(penalty, torch.full((7,), OF_A_LINEAR_CRITIC[name]))


@pytest.mark.parametrize("name", OF_A_LINEAR_CRITIC)
def test_gradient_with_respect_to_the_weights(name: str) -> None:
    """d/dw (||w|| - 1)^2 = 2 (||w|| - 1) w / ||w||, and d/dw ||w||^2 = 2 w."""
    critic = nn.Linear(3, 1)
    critic.weight.data = W[None].clone()
    gradient_penalty(PENALTIES[name], critic, torch.randn(4, 3), torch.randn(4, 3)).mean().backward()
    factor = {"r1": 1.0, "r2": 1.0, "zero_gp": 2.0, "max_gp": 2.0}.get(name, 2 * 12 / 13)
    torch.testing.assert_close(critic.weight.grad, factor * W[None])


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (wgan_gp(target=5.0), 8.0**2),  # not divided by 5^2
        (wgan_gp(target=20.0), 7.0**2),
        (wgan_gp(target=5.0, one_sided=True), 8.0**2),
        (wgan_gp(target=20.0, one_sided=True), 0.0),
        (dragan(target=5.0), 8.0**2),
    ],
)
def test_targets(penalty: Penalty, expected: float) -> None:
    values = gradient_penalty(penalty, linear, torch.randn(2, 3), torch.randn(2, 3))
    torch.testing.assert_close(values, torch.full((2,), expected))


def test_where_r1_and_r2_are_taken() -> None:
    """R1 of this critic is ||real||^2 / 2 and R2 is ||fake||^2 / 2."""
    real, fake = torch.randn(5, 2, 2), torch.randn(5, 2, 2)
    for name, points in (("r1", real), ("r2", fake)):
        expected = 0.5 * points.flatten(1).square().sum(1)
        torch.testing.assert_close(gradient_penalty(PENALTIES[name], half_square, real, fake), expected)


@pytest.mark.parametrize("name", ["wgan_gp", "zero_gp", "max_gp"])
def test_points_lie_between_pairs(name: str) -> None:
    fake = torch.randn(1000, 4)
    real = fake + 1 + torch.rand(1000, 4)
    points = PENALTIES[name].at(real, fake)
    u = (points - fake) / (real - fake)
    torch.testing.assert_close(u, u[:, :1].expand_as(u), atol=1e-3, rtol=1e-3)  # one u a sample
    assert u.min() > -1e-3
    assert u.max() < 1.001
    assert abs(u[:, 0].mean().item() - 0.5) < 0.05


def test_dragan_points_lie_around_reals() -> None:
    real = torch.randn(500, 4) * 3
    for spread in (0.5, 2.0):
        away = dragan(spread=spread).at(real, -real) - real
        assert away.min() >= 0
        assert 0.99 * spread * real.std() < away.max() <= spread * real.std()
    torch.testing.assert_close(dragan(spread=0).at(real, -real), real)


def test_max_gp_is_that_of_one_sample() -> None:
    real = torch.tensor([[1.0, 0.0], [3.0, 4.0], [2.0, 2.0]])
    scale = torch.tensor(0.5, requires_grad=True)
    values = gradient_penalty(PENALTIES["max_gp"], lambda x: scale * half_square(x), real, real)
    torch.testing.assert_close(values, torch.full((3,), 0.25 * 25))
    values.mean().backward()
    torch.testing.assert_close(scale.grad, torch.tensor(2 * 0.5 * 25))


def test_a_gradient_penalty_given_to_the_generator_has_no_effect() -> None:
    game = Game(PENALTIES["r2"])
    game().mean().backward()
    assert all(weight.grad is None for weight in game.g.parameters())


def test_a_penalty_of_ones_own() -> None:
    own = GradientPenalty(at=lambda real, fake: 0.5 * (real + fake), of=lambda g: g.abs().amax(1))
    torch.testing.assert_close(
        gradient_penalty(own, linear, torch.randn(2, 3), torch.randn(2, 3)), torch.full((2,), 12.0)
    )


def test_roth() -> None:
    """Of a critic whose gradient is x, with its sigmoids in plain numbers."""
    real, fake = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [1.0, 0.0]])

    def sigmoid(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    expected = [
        0.5 * ((1 - sigmoid(1.0)) ** 2 * 2 + sigmoid(2.0) ** 2 * 4),
        0.5 * ((1 - sigmoid(0.0)) ** 2 * 0 + sigmoid(0.5) ** 2 * 1),
    ]
    torch.testing.assert_close(gradient_penalty(PENALTIES["roth"], half_square, real, fake), torch.tensor(expected))


def test_roth_keeps_its_digits_where_d_is_sure() -> None:
    values = gradient_penalty(PENALTIES["roth"], lambda x: linear(x) + 25, torch.zeros(1, 3), torch.full((1, 3), -9.0))
    torch.testing.assert_close(values, torch.tensor([0.5 * math.exp(-60) * 169]), rtol=1e-4, atol=1e-36)


# Distances.


def test_gradient_norm() -> None:
    """With m = mean D(x) - mean D(G(z)), dr/dx_i = 2 m w / n, whose norm over n samples is 2 m ||w|| / sqrt(n)."""
    fake = torch.randn(4, 3)
    real = fake + W / 13  # m = 13
    values = gradient_penalty(PENALTIES["gradient_norm"], linear, real, fake)
    torch.testing.assert_close(values, torch.full((4,), 2 * 13 * 13 / 2.0))
    torch.testing.assert_close(gradient_penalty(PENALTIES["gradient_norm"], linear, fake, real), torch.zeros(4))


def test_gradient_norm_acts_on_the_generator_through_its_mean_logit() -> None:
    """G adds a constant c to z, so m falls by w c, and the penalty by 2 ||w|| / sqrt(n) times as much."""
    c = torch.zeros(3, requires_grad=True)
    real = torch.randn(4, 3)
    scene = Scene(linear, real=real, generator=lambda z: z + c, z=real - W / 13)
    PENALTIES["gradient_norm"](scene).backward()
    torch.testing.assert_close(c.grad, -13.0 * W)


def test_gradient_norm_is_flat_where_fakes_look_better() -> None:
    critic = nn.Linear(3, 1)
    critic.weight.data = W[None].clone()
    real = torch.randn(4, 3)
    gradient_penalty(PENALTIES["gradient_norm"], critic, real, real + W / 13).mean().backward()
    torch.testing.assert_close(critic.weight.grad, torch.zeros(1, 3))


@pytest.mark.parametrize("mode", ["real", "fake"])
def test_adversarial_norm(mode: str) -> None:
    """D's gradient at t is t, so v_i = (2 / n) (D(x_i) - D(G(z)_i)) t_i, but for its sign."""
    real = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    fake = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    differences = [2.5 - 4.5, 0.5 - 1.0]
    targets = {"real": [5.0, 1.0], "fake": [9.0, 2.0]}[mode]  # squared norms
    expected = -sum(d**2 * t for d, t in zip(differences, targets, strict=True)) / 4  # (2 / n)^2, over 4 entries
    values = gradient_penalty(adversarial_norm(mode), half_square, real, fake)
    torch.testing.assert_close(values, torch.full((2,), expected))


@pytest.mark.parametrize("mode", ["real", "fake"])
def test_adversarial_norm_acts_on_the_generator(mode: str) -> None:
    real, z = torch.randn(4, 3), torch.randn(4, 3)

    def by_hand(c: Tensor) -> Tensor:
        fake = z * c
        target = real if mode == "real" else fake
        v = 2 / 4 * (half_square(real) - half_square(fake))[:, None] * target
        return -v.square().mean()

    c = torch.randn(3, requires_grad=True)
    scene = Scene(half_square, real=real, generator=lambda z: z * c, z=z)
    (gradient,) = torch.autograd.grad(adversarial_norm(mode)(scene), c)
    (expected,) = torch.autograd.grad(by_hand(c), c)
    torch.testing.assert_close(gradient, expected)


def test_adversarial_norm_needs_pairs() -> None:
    scene = Scene(linear, real=torch.randn(4, 3), fake=torch.randn(1, 3))
    with pytest.raises(ShapeError, match=r"\(4, 1\) of one side and of shape \(1, 1\).*as many reals as fakes"):
        adversarial_norm()(scene)


@pytest.mark.parametrize("penalty", [gradient_norm(), adversarial_norm("real"), adversarial_norm("fake")])
def test_equals_have_no_distance_in_reduced_precision(penalty: Penalty) -> None:
    """Passes of two precisions would differ by rounding, in one direction or the other."""
    torch.manual_seed(0)
    critic = nn.Linear(3, 1)
    for samples in torch.randn(8, 4, 3):
        scene = Scene(critic, real=samples, fake=samples, autocast=partial(torch.autocast, "cpu", torch.bfloat16))
        assert penalty(scene) == 0


# LeCam.


def scene_of(real_logits: list[float], fake_logits: list[float], memory: dict[str, Tensor]) -> Scene:
    """A critic that gives these logits."""
    return Scene(
        lambda x: x[:, 0], real=torch.tensor(real_logits)[:, None], fake=torch.tensor(fake_logits)[:, None],
        memory=memory,
    )  # fmt: skip


def test_lecam_over_two_updates() -> None:
    memory: dict[str, Tensor] = {}
    first = lecam(decay=0.75)(scene_of([1.0, 3.0], [0.0, -2.0], memory))  # anchors: real 2, fake -1
    torch.testing.assert_close(first, torch.tensor([2.0**2 + 2.0**2, 4.0**2 + 4.0**2]))
    second = lecam(decay=0.75)(scene_of([4.0, 8.0], [3.0, 3.0], memory))
    torch.testing.assert_close(memory["penalty.real"], torch.tensor(0.75 * 2 + 0.25 * 6))  # 3
    torch.testing.assert_close(memory["penalty.fake"], torch.tensor(0.75 * -1 + 0.25 * 3))  # 0
    torch.testing.assert_close(second, torch.tensor([4.0**2 + 0.0**2, 8.0**2 + 0.0**2]))


def test_lecam_one_sided() -> None:
    memory = {"penalty.real": torch.tensor(1.0), "penalty.fake": torch.tensor(-1.0)}
    deal = scene_of([0.0, -4.0], [0.0, 4.0], memory)  # anchors: real 0.8 - 0.4, fake -0.8 + 0.4
    values = lecam(decay=0.8, one_sided=True)(deal)
    torch.testing.assert_close(values, torch.tensor([0.4**2 + 0.4**2, 0.0]))


def test_lecam_anchors_are_constants() -> None:
    """With D(x) = s x, the derivative at s = 1 is the mean of 2 (a - F) a + 2 (b - R) b; with anchors in it, 40."""
    scale = torch.tensor(1.0, requires_grad=True)
    scene = Scene(lambda x: scale * x[:, 0], real=torch.tensor([[1.0], [3.0]]), fake=torch.tensor([[0.0], [-2.0]]))
    lecam()(scene).mean().backward()  # F = -1, R = 2
    torch.testing.assert_close(scale.grad, torch.tensor((2 * 2 * 1 + 2 * 4 * 3 + 0 + 2 * -4 * -2) / 2))


def test_lecam_averages_unequal_patches_after_squaring() -> None:
    scene = Scene(lambda x: x[:, None], real=torch.tensor([[1.0, 3.0]]), fake=torch.tensor([[0.0, 0.0]]))
    # anchors: real 2, fake 0
    torch.testing.assert_close(lecam()(scene), torch.tensor([(1.0 + 9.0) / 2 + 2.0**2]))


# Consistency.


def add_one(x: Tensor) -> Tensor:
    return x + 1


def test_bcr() -> None:
    """D(T(x)) - D(x) = w . 1 = 11 for reals and fakes alike."""
    real, fake = torch.randn(4, 3), torch.randn(4, 3)
    for factors, expected in (((1.0, 1.0), 2 * 121.0), ((2.0, 3.0), 5 * 121.0), ((0.0, 3.0), 3 * 121.0)):
        penalty = bcr(add_one, real=factors[0], fake=factors[1])
        torch.testing.assert_close(gradient_penalty(penalty, linear, real, fake), torch.full((4,), expected))


def test_bcr_spares_passes_of_factor_0() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x)
        return linear(x)

    gradient_penalty(bcr(add_one, fake=0.0), critic, torch.randn(4, 3), torch.randn(4, 3))
    assert len(seen) == 2


def test_bcr_refuses_a_transform_that_changes_the_shape() -> None:
    with pytest.raises(ShapeError, match=r"made samples of shape \(4, 2\) of \(4, 3\); it must keep the shape"):
        gradient_penalty(bcr(lambda x: x[:, :2]), linear, torch.randn(4, 3), torch.randn(4, 3))


def test_bcr_jitters_what_is_no_image() -> None:
    """The logit changes by a normal number of deviation 13 jitter."""
    torch.manual_seed(0)
    values = gradient_penalty(bcr(jitter=0.2), linear, torch.randn(4000, 3), torch.randn(4000, 3))
    assert abs(values.mean().item() / (2 * (0.2 * 13) ** 2) - 1) < 0.1


@pytest.mark.parametrize("flip", [False, True])
def test_bcr_moves_images(flip: bool) -> None:
    """Each image is one of the crops of its mirrored extension, or of its mirror image's, by a draw of its own."""
    torch.manual_seed(0)
    images = torch.randn(200, 2, 8, 12)
    moved = bcr(shift=0.25, flip=flip).transform(images)
    down, right = 2, 3
    drawn = []
    for before, after in zip(images, moved, strict=True):
        found = [
            (mirrored, dy, dx)
            for mirrored in (False, True)
            for dy in range(2 * down + 1)
            for dx in range(2 * right + 1)
            if torch.equal(crop(before.flip(2) if mirrored else before, down, right, dy, dx), after)
        ]
        assert len(found) == 1
        drawn += found
    assert {mirrored for mirrored, _, _ in drawn} == ({False, True} if flip else {False})
    assert {dy for _, dy, _ in drawn} == set(range(5))
    assert {dx for _, _, dx in drawn} == set(range(7))


def crop(image: Tensor, down: int, right: int, dy: int, dx: int) -> Tensor:
    extended = pad(image[None], (right, right, down, down), mode="reflect")[0]
    return extended[:, dy : dy + image.shape[1], dx : dx + image.shape[2]]


def test_bcr_moves_small_images_by_a_pixel() -> None:
    torch.manual_seed(0)
    images = torch.arange(4.0).expand(50, 1, 4, 4)
    assert set(bcr(shift=0.05).transform(images)[:, 0, 0, 1].tolist()) == {0.0, 1.0, 2.0}
    torch.testing.assert_close(bcr().transform(torch.ones(2, 1, 1, 1)), torch.ones(2, 1, 1, 1))


def test_bcr_only_flips_if_told_so() -> None:
    torch.manual_seed(0)
    images = torch.arange(4.0).expand(50, 1, 4, 4)
    rows = bcr(shift=0, flip=True).transform(images)[:, 0, 2]
    assert {tuple(row) for row in rows.tolist()} == {(0.0, 1.0, 2.0, 3.0), (3.0, 2.0, 1.0, 0.0)}


MATRIX = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 1.0]])


def latent_scene(matrix: Tensor) -> Scene:
    torch.manual_seed(7)
    return Scene(linear, real=torch.zeros(5, 3), generator=lambda z: z @ matrix, z=torch.randn(5, 2))


def noise_of(scene: Scene) -> Tensor:
    torch.manual_seed(8)
    noise = torch.randn(scene.z.shape)
    torch.manual_seed(8)
    return noise


def test_zcr() -> None:
    scene = latent_scene(MATRIX)
    noise = noise_of(scene)
    torch.testing.assert_close(zcr(std=0.5)(scene), (0.5 * noise @ MATRIX @ W).square())


def test_zcr_g() -> None:
    scene = latent_scene(MATRIX)
    noise = noise_of(scene)
    torch.testing.assert_close(zcr_g(std=0.5)(scene), -0.25 * (noise @ MATRIX).square().sum(1))


@pytest.mark.parametrize(("penalty", "sign"), [(zcr(), 1.0), (zcr_g(), -1.0)])
def test_zcr_draws_logits_together_and_zcr_g_draws_samples_apart(penalty: Penalty, sign: float) -> None:
    """Both are squares of the matrix, so along it their derivative is twice their value."""
    matrix = MATRIX.clone().requires_grad_()
    value = penalty(latent_scene(matrix)).mean()
    assert sign * value > 0
    (gradient,) = torch.autograd.grad(value, matrix)
    torch.testing.assert_close((gradient * matrix).sum(), 2 * value)


# Features.


class Featured(nn.Module):
    """A discriminator that returns its logits and features as it is told to."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        first, second = 2 * x, x.sum(1)
        return {
            "tuple": (linear(x), first, second),
            "list": [linear(x), [first, second]],
            "pair": (linear(x), {"a": first, "b": second}),
            "mapping": {"logits": linear(x), "a": first, "b": second},
        }[self.form]


@pytest.mark.parametrize("form", ["tuple", "list", "pair", "mapping"])
def test_feature_matching_of_what_d_returns(form: str) -> None:
    real = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    fake = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    # means: real (2, 0, 0), fake (0, 1, 1.5); first layer: 2 (2 + 1 + 1.5) / 3; second: |2 - 2.5|
    batch = (2 * 4.5 / 3 + 0.5) / 2
    # differences: (1, -1, 0) and (3, -1, -3); first layer: 2 (2 / 3) and 2 (7 / 3); second: 0 and 1
    sample = torch.tensor([(4 / 3 + 0) / 2, (14 / 3 + 1) / 2])
    torch.testing.assert_close(feature_matching()(Scene(Featured(form), real=real, fake=fake)), torch.tensor(batch))
    torch.testing.assert_close(feature_matching(reduce="sample")(Scene(Featured(form), real=real, fake=fake)), sample)
    scene = Scene(Featured(form), real=real, fake=fake)
    assert scene.real_logits.shape == (2, 1)
    torch.testing.assert_close(scene.critic(real), linear(real))


def test_feature_matching_of_named_layers() -> None:
    game = Game(feature_matching(["0", "1"]))
    real, fake = game.d[0](game.real), game.d[0](game.g(game.z))
    expected = (
        (real.mean(0) - fake.mean(0)).abs().mean() + (real.tanh().mean(0) - fake.tanh().mean(0)).abs().mean()
    ) / 2
    torch.testing.assert_close(game(), expected)
    assert game.penalty.layers == ("0", "1")
    assert not game.d[0]._forward_hooks  # none is left behind


def test_features_of_reals_are_constants_in_the_generators_step() -> None:
    """A D that adds a bias to its features moves both sides alike; only the fakes' side is seen."""
    bias = torch.zeros(3, requires_grad=True)
    scene = Scene(lambda x: (linear(x), x + bias), real=torch.zeros(2, 3), fake=torch.ones(2, 3))
    scene.player = "G"
    feature_matching()(scene).backward()
    torch.testing.assert_close(bias.grad, torch.full((3,), 1 / 3))


def test_feature_matching_says_what_is_missing() -> None:
    d = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    scene = Scene(d, real=torch.randn(2, 3), fake=torch.randn(2, 3), layers=["0"])
    with pytest.raises(ConfigError, match=r"looks at layer '1', which the scene does not show \(known: 0\)"):
        feature_matching(["1"])(scene)
    scene = Scene(d, real=torch.randn(2, 3), fake=torch.randn(3, 3), layers=["0"])
    with pytest.raises(ShapeError, match=r"layer '0' made features of shape \(2, 3\) of reals and \(3, 3\) of fakes"):
        feature_matching(["0"], reduce="sample")(scene)


# Weights.


def orthogonality(network: nn.Module, diagonal: bool) -> float:
    return orthogonal(diagonal)(Scene(network)).item()


def matrix_of(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    return layer


def test_orthogonal_by_hand() -> None:
    # W W^T = [[2, 1], [1, 1]]
    wide = matrix_of([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert orthogonality(wide, diagonal=True) == 1 + 1 + 1 + 0
    assert orthogonality(wide, diagonal=False) == 1 + 1
    # W W^T = [[1, 2, 0], [2, 4, 0], [0, 0, 0]]
    tall = matrix_of([[1.0], [2.0], [0.0]])
    assert orthogonality(tall, diagonal=True) == 0 + 9 + 1 + 2 * 4
    assert orthogonality(tall, diagonal=False) == 2 * 4
    assert orthogonality(nn.Sequential(wide, tall), diagonal=True) == 3 + 18


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_orthogonal_against_the_formula(shape: tuple[int, int], diagonal: bool) -> None:
    layer = nn.Linear(shape[1], shape[0]).double()
    gram = layer.weight @ layer.weight.T
    rest = gram - torch.eye(len(gram)) if diagonal else gram * (1 - torch.eye(len(gram)))
    expected = rest.square().sum()
    value = orthogonal(diagonal)(Scene(layer))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(it, layer.weight)[0] for it in (value, expected)))


def test_orthogonal_is_0_for_orthogonal_weights() -> None:
    layers = [nn.Linear(6, 4), nn.Conv2d(2, 5, 3), nn.Conv1d(4, 4, 1)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
    assert orthogonality(nn.Sequential(*layers), diagonal=True) < 1e-9
    with torch.no_grad():
        layers[0].weight.mul_(2)
    assert orthogonality(nn.Sequential(*layers), diagonal=True) == pytest.approx(4 * 3.0**2)
    assert orthogonality(nn.Sequential(*layers), diagonal=False) < 1e-8


def test_orthogonal_has_a_row_for_each_output() -> None:
    """A transposed convolution keeps its outputs in its second dimension."""
    weight = torch.randn(3, 5, 4, 4)
    turned, plain = nn.ConvTranspose2d(3, 5, 4), nn.Conv2d(3, 5, 4)
    turned.weight.data, plain.weight.data = weight, weight.transpose(0, 1)
    assert orthogonality(turned, diagonal=True) == pytest.approx(orthogonality(plain, diagonal=True))


def test_orthogonal_leaves_other_weights_alone() -> None:
    layer = nn.Linear(6, 4)
    nn.init.orthogonal_(layer.weight)
    network = nn.Sequential(nn.Embedding(9, 6), layer, nn.BatchNorm1d(4))
    nn.init.ones_(layer.bias)
    assert orthogonality(network, diagonal=True) < 1e-9
    with pytest.raises(
        ConfigError, match="orthogonal needs weights of two or more dimensions, and the network has none"
    ):
        orthogonality(nn.BatchNorm1d(4), diagonal=True)


def test_orthogonal_looks_at_what_is_trained() -> None:
    layer = nn.utils.parametrizations.spectral_norm(matrix_of([[2.0, 0.0], [0.0, 1.0]]))
    assert orthogonality(layer, diagonal=True) == 9.0


def test_orthogonal_looks_at_the_player_whose_turn_it_is() -> None:
    scene = Scene(matrix_of([[1.0]]), generator=matrix_of([[2.0]]))
    assert orthogonal()(scene) == 0
    scene.player = "G"
    assert orthogonal()(scene) == 9
    assert orthogonal()(scene.again()) == 9
    scene.generator = torch.tanh
    with pytest.raises(ConfigError, match="looks at the generator's weights"):
        orthogonal()(scene)


# Measurements.


def test_input_gradient_norm() -> None:
    critic = nn.Linear(3, 1)
    critic.weight.data = W[None].clone()
    for frozen in (False, True):
        critic.requires_grad_(not frozen)
        with torch.no_grad() if frozen else torch.enable_grad():
            norm = MEASURES["d_input_grad_norm"](Scene(critic, real=torch.randn(4, 3), fake=torch.randn(4, 3)))
        torch.testing.assert_close(norm, torch.tensor(13.0))
        assert not norm.requires_grad
    assert critic.weight.grad is None


def test_input_gradient_norm_is_taken_between_reals_and_fakes() -> None:
    real = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    norm = MEASURES["d_input_grad_norm"](Scene(half_square, real=real, fake=real))
    torch.testing.assert_close(norm, torch.tensor((5.0 + 1.0) / 2))


# The scene.


class Counting(nn.Sequential):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x)


def test_each_pass_is_made_once() -> None:
    d, g = Counting(nn.Linear(3, 1)), Counting(nn.Linear(2, 3))
    scene = Scene(d, real=torch.randn(4, 3), generator=g, z=torch.randn(4, 2))
    assert not scene.has_shown_reals
    for _ in range(2):
        assert scene.fake_logits is scene.fake_view.logits
        assert scene.real_logits.shape == (4, 1)
    assert (d.passes, g.passes) == (2, 1)
    assert scene.has_shown_reals
    assert not scene.again().has_shown_reals
    torch.testing.assert_close(scene.again().fake, scene.fake)
    assert (d.passes, g.passes) == (2, 2)
    given = torch.randn(4, 3)
    assert Scene(d, fake=given).again().fake is given


def test_what_a_scene_does_not_have() -> None:
    scene = Scene(linear)
    with pytest.raises(ConfigError, match="looks at real samples in the generator's step too: give it real samples"):
        _ = scene.real
    for missing in (lambda: scene.z, lambda: scene.fake, lambda: scene.samples(torch.zeros(1, 2))):
        with pytest.raises(ConfigError, match="needs a generator and latents"):
            missing()


def test_layers_that_are_not_there() -> None:
    d = nn.Sequential()
    d.add_module("features", nn.Linear(3, 2))
    scene = Scene(d, real=torch.randn(2, 3), layers=["feature"])
    with pytest.raises(ConfigError, match=r"discriminator has no layer 'feature' \(did you mean 'features'\?\)"):
        _ = scene.real_view
    with pytest.raises(ConfigError, match=r"the discriminator has no layer 'feature' \(none is known\)"):
        _ = Scene(linear, real=torch.randn(2, 3), layers=["feature"]).real_view


def test_names_of_layers() -> None:
    """Paths, names that a network or a part of it gives its layers itself, and nothing of what torch puts inside."""
    layers = ["conv 2 name=c", "add self (residual (conv name=q) (relu))", "linear 3 spectral_norm=true"]
    named = build(layers, (1, 4, 4))
    d = nn.Sequential(named, nn.utils.parametrizations.spectral_norm(nn.Linear(3, 1)))
    assert layer_named(named, "q") is layer_named(d, "0.q") is named.get_submodule("1.1.branch.q")
    assert layer_named(d, "0.1.1.branch.q") is layer_named(d, "0.q")
    assert layer_named(d, "1") is d[1]
    with pytest.raises(ConfigError, match=r"has no layer '' \(known: 0, 0.1, 0.2, 0.c, 0.q, 1\)"):
        layer_named(d, "")
    with pytest.raises(ConfigError, match=r"has no layer 'k' \(known: 1, 2, c, q\)"):
        layer_named(named, "k")
    scene = Scene(d, real=torch.randn(2, 1, 4, 4), layers=["0.q", "0.c"])
    assert scene.real_view.features["0.q"].shape == (2, 2, 4, 4)


def test_features_are_what_their_layer_put_out() -> None:
    """The next layer changes them in place."""
    d = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True), nn.Linear(2, 1))
    real = torch.randn(8, 3)
    features = Scene(d, real=real, layers=["0"]).real_view.features
    assert features["0"].min() < 0
    torch.testing.assert_close(features["0"], d[0](real))


def test_layers_that_put_out_no_tensor() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.GRU(3, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(x)[0].mean((1, 2))

    d = Recurrent()
    with pytest.raises(ConfigError, match="layer 'memory' are wanted, but it puts out a tuple: name another layer"):
        _ = Scene(d, real=torch.randn(2, 5, 3), layers=["memory"]).real_view
    assert not d.memory._forward_hooks


def test_a_discriminator_without_logits() -> None:
    with pytest.raises(ConfigError, match="returned dict without a tensor of logits: it may return logits"):
        _ = Scene(lambda x: {"features": x}, real=torch.randn(2, 3)).real_logits


def test_precision() -> None:
    """All passes are made in the given context, and end in float32."""
    inside: list[bool] = []
    active = False

    @contextmanager
    def autocast() -> Iterator[None]:
        nonlocal active
        active = True
        try:
            yield
        finally:
            active = False

    def network(x: Tensor) -> Tensor:
        inside.append(active)
        return x.bfloat16()

    scene = Scene(network, real=torch.randn(2, 3), generator=network, z=torch.randn(2, 3), autocast=autocast)
    made = [scene.fake, scene.real_logits, scene.fake_logits, scene.critic(scene.real), scene.samples(scene.z)]
    assert inside == [True] * 5
    assert {it.dtype for it in made} == {torch.float32}
    torch.testing.assert_close(scene.critic(scene.real), scene.real_logits, rtol=0, atol=0)
    torch.testing.assert_close(scene.samples(scene.z), scene.fake, rtol=0, atol=0)
