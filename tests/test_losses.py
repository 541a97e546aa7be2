"""Losses against hand-computed points, the contract that all of them keep, and the theory that some stand for."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from poise import losses
from poise.errors import PoiseError, ShapeError
from poise.losses import (
    LOSSES,
    AdversarialLoss,
    judges_by_sign,
    lsgan,
    pushes_real_up,
    realness,
    relativistic,
    relativistic_average,
    vanilla,
)
from poise.testing import check_loss

FORMS = ("logistic", "least_squares", "hinge")
DIVERGENCES = ("kl", "reverse_kl", "js", "pearson", "squared_hellinger", "neyman", "total_variation")
SATURATING = {name: getattr(losses, name)(saturating=True) for name in DIVERGENCES if name != "total_variation"}
OBJECTIVES = ("relative", "anchored", "minimax")

# Every loss, and every form of it that an option chooses.
VARIANTS: dict[str, AdversarialLoss] = {
    **LOSSES,
    "vanilla smoothed": vanilla(label_smoothing=0.1),
    "relativistic least_squares": relativistic(form="least_squares"),
    "relativistic hinge": relativistic(form="hinge"),
    "relativistic_average least_squares": relativistic_average(form="least_squares"),
    "relativistic_average hinge": relativistic_average(form="hinge"),
    **{f"{name} saturating": loss for name, loss in SATURATING.items()},
    "realness of 3": realness(outcomes=3),
    "realness anchored": realness(outcomes=3, objective="anchored"),
    "realness minimax": realness(outcomes=3, objective="minimax"),
}
# Those whose logits come one a sample.
SCALAR = {name: loss for name, loss in VARIANTS.items() if loss.outputs is None}


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


def logits_of(loss: AdversarialLoss, level: Tensor) -> Tensor:
    """Logits that are as real as ``level`` says, (n,): themselves, or leaning to the later outcomes, (n, outputs)."""
    return level if loss.outputs is None else level[:, None] * torch.linspace(-1, 1, loss.outputs).to(level)


def values(loss: AdversarialLoss, player: str, real: Tensor, fake: Tensor) -> Tensor:
    result: Tensor = getattr(loss, player)(real, fake)
    return result


# Points by hand.

# Logits of two reals and two fakes, and what each player's loss is of each pair.
A, B = (2.0, -1.0), (0.5, -3.0)
# Of wasserstein_kl: the weights average 1. Of softmax: the partition function's logarithm.
W = (2 * math.exp(0.5) / (math.exp(0.5) + math.exp(-3.0)), 2 * math.exp(-3.0) / (math.exp(0.5) + math.exp(-3.0)))
LOG_Z = math.log(math.exp(2.0) + math.exp(-1.0) + math.exp(0.5) + math.exp(-3.0))
LOG_2 = math.log(2)
EXPECTED = {
    "vanilla": (
        [softplus(-2.0) + softplus(0.5), softplus(1.0) + softplus(-3.0)],
        [softplus(-0.5), softplus(3.0)],
    ),
    "vanilla smoothed": (
        [softplus(-2.0) + 0.2 + softplus(0.5), softplus(1.0) - 0.1 + softplus(-3.0)],
        [softplus(-0.5), softplus(3.0)],
    ),
    "minimax": (
        [softplus(-2.0) + softplus(0.5), softplus(1.0) + softplus(-3.0)],
        [-softplus(0.5), -softplus(-3.0)],
    ),
    "wasserstein": ([-1.5, -2.0], [-0.5, 3.0]),
    "wasserstein_kl": ([0.5 * W[0] - 2.0, -3.0 * W[1] + 1.0], [-0.5 * W[0], 3.0 * W[1]]),
    "hinge": ([0 + 1.5, 2.0 + 0.0], [-0.5, 3.0]),
    "lsgan": ([0.5 * 1 + 0.5 * 0.25, 0.5 * 4 + 0.5 * 9], [0.5 * 0.25, 0.5 * 16]),
    "relativistic": ([softplus(-1.5), softplus(-2.0)], [softplus(1.5), softplus(2.0)]),
    "relativistic least_squares": ([0.25, 1.0], [6.25, 9.0]),
    "relativistic hinge": ([0.0, 0.0], [2.5, 3.0]),
    # means: a 0.5, b -1.25
    "relativistic_average": (
        [softplus(-3.25) + softplus(0.0), softplus(-0.25) + softplus(-3.5)],
        [softplus(0.0) + softplus(3.25), softplus(3.5) + softplus(0.25)],
    ),
    "relativistic_average least_squares": ([2.25**2 + 1.0, 0.75**2 + 2.5**2], [1.0 + 4.25**2, 4.5**2 + 1.25**2]),
    "relativistic_average hinge": ([0 + 1.0, 0.75 + 0], [1.0 + 4.25, 4.5 + 1.25]),
    "softmax": ([LOG_Z - 2.0, LOG_Z + 1.0], [LOG_Z - 0.5 * (0.5 + 0.5), LOG_Z - 0.5 * (0.5 - 3.0)]),
    "kl": ([-2.0 + math.exp(-0.5), 1.0 + math.exp(-4.0)], [-0.5, 3.0]),
    "kl saturating": ([-2.0 + math.exp(-0.5), 1.0 + math.exp(-4.0)], [-math.exp(-0.5), -math.exp(-4.0)]),
    "reverse_kl": ([math.exp(-2.0) - 0.5, math.exp(1.0) - 4.0], [math.exp(-0.5), math.exp(3.0)]),
    "reverse_kl saturating": ([math.exp(-2.0) - 0.5, math.exp(1.0) - 4.0], [0.5, 4.0]),
    "js": (
        [softplus(-2.0) + softplus(0.5) - 2 * LOG_2, softplus(1.0) + softplus(-3.0) - 2 * LOG_2],
        [softplus(-0.5) - LOG_2, softplus(3.0) - LOG_2],
    ),
    "js saturating": (
        [softplus(-2.0) + softplus(0.5) - 2 * LOG_2, softplus(1.0) + softplus(-3.0) - 2 * LOG_2],
        [LOG_2 - softplus(0.5), LOG_2 - softplus(-3.0)],
    ),
    "pearson": ([-2.0 + 0.5625, 1.0 - 0.75], [-0.5, 3.0]),
    "pearson saturating": ([-2.0 + 0.5625, 1.0 - 0.75], [-0.5625, 0.75]),
    "squared_hellinger": (
        [math.exp(-2.0) + math.exp(0.5) - 2, math.exp(1.0) + math.exp(-3.0) - 2],
        [math.exp(-0.5) - 1, math.exp(3.0) - 1],
    ),
    "squared_hellinger saturating": (
        [math.exp(-2.0) + math.exp(0.5) - 2, math.exp(1.0) + math.exp(-3.0) - 2],
        [1 - math.exp(0.5), 1 - math.exp(-3.0)],
    ),
    "neyman": (
        [math.exp(-2.0) + 1 - 2 * math.exp(-0.25), math.exp(1.0) + 1 - 2 * math.exp(1.5)],
        [math.exp(-0.5) - 1, math.exp(3.0) - 1],
    ),
    "neyman saturating": (
        [math.exp(-2.0) + 1 - 2 * math.exp(-0.25), math.exp(1.0) + 1 - 2 * math.exp(1.5)],
        [2 * math.exp(-0.25) - 2, 2 * math.exp(1.5) - 2],
    ),
    "total_variation": (
        [0.5 * (math.tanh(0.5) - math.tanh(2.0)), 0.5 * (math.tanh(-3.0) - math.tanh(-1.0))],
        [-0.5 * math.tanh(0.5), -0.5 * math.tanh(-3.0)],
    ),
}


def test_every_loss_has_hand_computed_points() -> None:
    assert set(EXPECTED) == set(SCALAR)  # realness has its own, below


@pytest.mark.parametrize("name", EXPECTED)
def test_hand_computed_points(name: str) -> None:
    real, fake = torch.tensor(A, dtype=torch.float64), torch.tensor(B, dtype=torch.float64)
    for player, expected in zip("dg", EXPECTED[name], strict=True):
        torch.testing.assert_close(
            values(VARIANTS[name], player, real, fake), torch.tensor(expected, dtype=torch.float64)
        )


# The contract.


@pytest.mark.parametrize("name", LOSSES)
def test_the_table_holds_what_the_function_of_the_same_name_builds(name: str) -> None:
    assert name in losses.__all__
    built, level = getattr(losses, name)(), torch.linspace(-2, 2, 4)
    real, fake = logits_of(built, level), logits_of(built, level.flip(0))
    for player in "dg":
        assert torch.equal(values(LOSSES[name], player, real, fake), values(built, player, real, fake))
    assert built[2:] == LOSSES[name][2:]


@pytest.mark.parametrize("name", VARIANTS)
def test_contract(name: str) -> None:
    check_loss(VARIANTS[name])


@pytest.mark.parametrize("name", SCALAR)
def test_contract_of_patches(name: str) -> None:
    check_loss(VARIANTS[name], outputs=(1, 3, 3))


@pytest.mark.parametrize("name", SCALAR)
def test_patches_are_samples_whose_values_are_averaged(name: str) -> None:
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    for player in "dg":
        patches = values(SCALAR[name], player, real.flatten(), fake.flatten())
        torch.testing.assert_close(values(SCALAR[name], player, real, fake), patches.view(3, 4).mean(1))


@pytest.mark.parametrize("name", VARIANTS)
def test_unequal_shapes_are_refused(name: str) -> None:
    for player in "dg":
        with pytest.raises(ShapeError, match=r"\(4, 1\) and fake logits \(4,\); a loss needs equal shapes"):
            values(VARIANTS[name], player, torch.zeros(4, 1), torch.zeros(4))
        with pytest.raises(PoiseError, match="no batch dimension"):
            values(VARIANTS[name], player, torch.zeros(()), torch.zeros(()))


@pytest.mark.parametrize("name", VARIANTS)
def test_each_player_is_pushed_its_way(name: str) -> None:
    """D's descent raises real logits and lowers fake ones; G's raises fake ones."""
    loss = VARIANTS[name]
    real, fake = torch.full((4,), 0.5, requires_grad=True), torch.full((4,), 0.25, requires_grad=True)
    loss.d(logits_of(loss, real), logits_of(loss, fake)).sum().backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    loss.g(logits_of(loss, real.detach()), logits_of(loss, fake)).sum().backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_better_fake_has_the_lower_value(name: str) -> None:
    """So that values can be ranked, for training on the best fakes only."""
    loss = VARIANTS[name]
    result = loss.g(logits_of(loss, torch.full((5,), 0.5)), logits_of(loss, torch.linspace(0, 0.45, 5)))
    assert (result.diff() < 0).all()


# Which way is up.


@pytest.mark.parametrize("name", VARIANTS)
def test_every_loss_pushes_real_up(name: str) -> None:
    assert pushes_real_up(VARIANTS[name])


def swapped(loss: AdversarialLoss) -> AdversarialLoss:
    return loss._replace(d=lambda real, fake: loss.d(fake, real))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_swapped_loss_pushes_real_down(name: str) -> None:
    assert not pushes_real_up(swapped(VARIANTS[name]))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(0, 1, True), (-1, 1, True), (5, 6, True), (-6, -5, True), (1, 0, False), (-5, -6, False), (1, 1, False)],
)
def test_lsgan_pushes_real_where_its_targets_are(a: float, b: float, expected: bool) -> None:
    assert pushes_real_up(lsgan(a=a, b=b)) is expected


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        *((LOSSES[name], True) for name in ("vanilla", "minimax", "hinge", "realness")),
        *((LOSSES[name], False) for name in ("relativistic", "relativistic_average", "wasserstein", "lsgan")),
        (lsgan(a=-1, b=1), True),
        (swapped(LOSSES["vanilla"]), True),
    ],
)
def test_signs_of_logits_are_verdicts_where_0_is_in_the_middle(loss: AdversarialLoss, expected: bool) -> None:
    assert judges_by_sign(loss) is expected


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_pushes_real_up_without_gradients_or_random_numbers(context: type) -> None:
    state = torch.get_rng_state()
    with context():
        assert pushes_real_up(LOSSES["vanilla"])
        assert not pushes_real_up(lsgan(a=1, b=0))
        assert pushes_real_up(LOSSES["realness"])
    assert torch.equal(torch.get_rng_state(), state)


# Options.


def test_label_smoothing_is_cross_entropy_with_target_1_minus_s() -> None:
    real, fake = torch.randn(6), torch.randn(6)
    expected = binary_cross_entropy_with_logits(real, torch.full((6,), 0.9), reduction="none")
    expected = expected + binary_cross_entropy_with_logits(fake, torch.zeros(6), reduction="none")
    torch.testing.assert_close(vanilla(label_smoothing=0.1).d(real, fake), expected)
    torch.testing.assert_close(vanilla(label_smoothing=0.1).g(real, fake), LOSSES["vanilla"].g(real, fake))


@pytest.mark.parametrize("s", [-0.1, 1.0])
def test_label_smoothing_out_of_range(s: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        vanilla(label_smoothing=s)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("target", [math.inf, math.nan])
def test_lsgan_targets_that_are_not_finite(name: str, target: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {target}; a target must be finite"):
        lsgan(**{name: target})


def test_lsgan_targets() -> None:
    loss = lsgan(a=-1.0, b=1.0, c=0.0)
    real, fake = torch.tensor([0.0]), torch.tensor([3.0])
    assert loss.d(real, fake).item() == 0.5 * 1 + 0.5 * 16
    assert loss.g(real, fake).item() == 0.5 * 9


@pytest.mark.parametrize("form", FORMS)
def test_with_one_sample_the_average_is_the_pair_twice(form: str) -> None:
    real, fake = torch.randn(1), torch.randn(1)
    for player in "dg":
        pair = values(relativistic(form=form), player, real, fake)
        torch.testing.assert_close(values(relativistic_average(form=form), player, real, fake), 2 * pair)


@pytest.mark.parametrize("make", [relativistic, relativistic_average])
def test_unknown_forms(make: type) -> None:
    with pytest.raises(ValueError, match=r"form is 'hinges'; there is no such form \(did you mean 'hinge'\?\)"):
        make(form="hinges")
    with pytest.raises(ValueError, match=r"form is 'x'; .* \(known: hinge, least_squares, logistic\)"):
        make(form="x")


# Losses over a batch.


def test_softmax_is_cross_entropy_over_the_batch() -> None:
    """D's target is uniform over the reals, G's over all; G is content where all logits are equal."""
    loss = LOSSES["softmax"]
    real, fake = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    batch = torch.cat([real, fake])[None]
    reals, everyone = torch.zeros(1, 10).double(), torch.full((1, 10), 0.1).double()
    reals[:, :5] = 0.2
    torch.testing.assert_close(loss.d(real, fake).mean(), cross_entropy(batch, reals))
    torch.testing.assert_close(loss.g(real, fake).mean(), cross_entropy(batch, everyone))
    equal = torch.full((5,), 0.3, requires_grad=True)
    (slope,) = torch.autograd.grad(loss.g(equal.detach(), equal).mean(), equal)
    torch.testing.assert_close(slope, torch.zeros(5))


def test_the_weights_of_wasserstein_kl_are_differentiated_through() -> None:
    """d/db_i of the mean of w b is p_i (1 + b_i - sum_j p_j b_j), with p = softmax(b)."""
    fake = torch.tensor([2.0, 0.0, -1.0], requires_grad=True)
    p = fake.detach().softmax(0)
    expected = p * (1 + fake.detach() - (p * fake.detach()).sum())
    (of_d,) = torch.autograd.grad(LOSSES["wasserstein_kl"].d(torch.zeros(3), fake).mean(), fake)
    (of_g,) = torch.autograd.grad(LOSSES["wasserstein_kl"].g(torch.zeros(3), fake).mean(), fake)
    torch.testing.assert_close(of_d, expected)
    torch.testing.assert_close(of_g, -expected)
    assert of_g[2] > 0  # far below the others: lowered


def test_the_weights_of_wasserstein_kl_do_not_overflow() -> None:
    result = LOSSES["wasserstein_kl"].d(torch.zeros(2), torch.tensor([200.0, 0.0]))
    torch.testing.assert_close(result, torch.tensor([400.0, 0.0]))


# Divergences.

F = {
    "kl": lambda u: u * u.log(),
    "reverse_kl": lambda u: -u.log(),
    "js": lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    "pearson": lambda u: (u - 1).square(),
    "squared_hellinger": lambda u: (u.sqrt() - 1).square(),
    "neyman": lambda u: (u - 1).square() / u,
    "total_variation": lambda u: 0.5 * (u - 1).abs(),
}
DISTANCES = {
    "kl": lambda p, q: (p * (p / q).log()).sum(),
    "reverse_kl": lambda p, q: (q * (q / p).log()).sum(),
    "js": lambda p, q: (p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()).sum(),
    "pearson": lambda p, q: ((p - q).square() / q).sum(),
    "squared_hellinger": lambda p, q: (p.sqrt() - q.sqrt()).square().sum(),
    "neyman": lambda p, q: ((p - q).square() / p).sum(),
    "total_variation": lambda p, q: 0.5 * (p - q).abs().sum(),
}


def activation(name: str, v: Tensor) -> Tensor:
    """g_f, as the loss has it."""
    return -LOSSES[name].g(v, v)


def conjugate(name: str, v: Tensor) -> Tensor:
    """f* after g_f, as the loss has it."""
    return -SATURATING.get(name, LOSSES[name]).g(v, v)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_conjugates(name: str) -> None:
    """f*(t) is the largest u t - f(u), here over many u at the t that logits give."""
    u = torch.logspace(-5, 5, 100_001, dtype=torch.float64)
    v = torch.linspace(-2, 3, 11, dtype=torch.float64)
    expected = torch.stack([(u * t - F[name](u)).max() for t in activation(name, v)])
    torch.testing.assert_close(conjugate(name, v), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_discriminator_measures_the_divergence(name: str) -> None:
    """On two points, the least of E_P[-g_f(D)] + E_Q[f*(g_f(D))] over D's two logits is minus the divergence."""
    p, q = torch.tensor([0.7, 0.3], dtype=torch.float64), torch.tensor([0.4, 0.6], dtype=torch.float64)
    v = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    least = sum((pi * -activation(name, v) + qi * conjugate(name, v)).min() for pi, qi in zip(p, q, strict=True))
    torch.testing.assert_close(-least, DISTANCES[name](p, q), atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_discriminators_loss_is_the_bound_with_its_sign_turned(name: str) -> None:
    a, b = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(LOSSES[name].d(a, b), conjugate(name, b) - activation(name, a))
    if name in SATURATING:
        assert torch.equal(SATURATING[name].d(a, b), LOSSES[name].d(a, b))


def test_js_is_vanilla_but_for_constants() -> None:
    real, fake = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(LOSSES["js"].d(real, fake), LOSSES["vanilla"].d(real, fake) - 2 * LOG_2)
    torch.testing.assert_close(LOSSES["js"].g(real, fake), LOSSES["vanilla"].g(real, fake) - LOG_2)
    torch.testing.assert_close(SATURATING["js"].g(real, fake), LOSSES["minimax"].g(real, fake) + LOG_2)


# Realness.

# The real anchor over the outcomes -1, 0 and 1 is in proportion e^-0.5 Phi(-5), 1 / 2 and e^-0.5 Phi(5).
E, PHI = math.exp(-0.5), 2.866515718791946e-07
REAL_ANCHOR = (E * PHI / (E + 0.5), 0.5 / (E + 0.5), E * (1 - PHI) / (E + 0.5))
FAKE_ANCHOR = REAL_ANCHOR[::-1]
P, Q = (0.2, 0.3, 0.5), (0.6, 0.3, 0.1)  # what D makes of a real and of a fake


def divergence(p: tuple[float, ...], q: tuple[float, ...]) -> float:
    return sum(pk * math.log(pk / qk) for pk, qk in zip(p, q, strict=True))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_realness_by_hand(objective: str) -> None:
    loss = realness(outcomes=3, objective=objective)
    # 7 is added to all logits of a sample, which changes nothing.
    real, fake = (torch.tensor([p], dtype=torch.float64).log() + 7 for p in (P, Q))
    toward = {"relative": divergence(P, Q), "anchored": divergence(REAL_ANCHOR, Q), "minimax": 0.0}[objective]
    assert loss.d(real, fake).item() == pytest.approx(divergence(REAL_ANCHOR, P) + divergence(FAKE_ANCHOR, Q))
    assert loss.g(real, fake).item() == pytest.approx(toward - divergence(FAKE_ANCHOR, Q))


def test_the_anchors_are_mirrored_skew_normals() -> None:
    """D's gradient is softmax(logits) - anchor, so that it shows them."""
    u = torch.linspace(-1, 1, 10, dtype=torch.float64)
    anchor = torch.exp(-u.square() / 2) * torch.special.ndtr(5 * u)
    anchor = anchor / anchor.sum()
    real, fake = torch.zeros(2, 1, 10, dtype=torch.float64, requires_grad=True).unbind()
    of_real, of_fake = torch.autograd.grad(LOSSES["realness"].d(real, fake).sum(), (real, fake))
    torch.testing.assert_close(0.1 - of_real[0], anchor)
    torch.testing.assert_close(0.1 - of_fake[0], anchor.flip(0))


def test_the_discriminator_is_best_at_the_anchors() -> None:
    anchors = torch.tensor([REAL_ANCHOR, FAKE_ANCHOR], dtype=torch.float64).log()
    assert realness(outcomes=3).d(anchors[:1], anchors[1:]).item() == pytest.approx(0, abs=1e-12)


def test_realness_of_two_outcomes_far_apart_is_vanilla() -> None:
    real, fake = torch.randn(2, 5, 2)
    expected = LOSSES["vanilla"].d(real[:, 1] - real[:, 0], fake[:, 1] - fake[:, 0])
    torch.testing.assert_close(realness(outcomes=2, skew=10.0).d(real, fake), expected)


@pytest.mark.parametrize("name", ["realness", "realness anchored"])
def test_realness_has_one_value_a_sample(name: str) -> None:
    loss = VARIANTS[name]
    real, fake = torch.randn(2, 5, loss.outputs)
    for player in "dg":
        result = values(loss, player, real, fake)
        alone = [values(loss, player, real[i : i + 1], fake[i : i + 1]) for i in range(5)]
        torch.testing.assert_close(result, torch.cat(alone))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (4,),
            r"logits of shape \(n, 10\) and was given \(4,\): .* as many outputs \(option outputs=10 of the presets\)$",
        ),
        ((4, 1), r"was given \(4, 1\): give the discriminator as many outputs \(option outputs=10 of the presets\)$"),
        ((4, 7), r"was given \(4, 7\): .* \(option outputs=10 of the presets\), or the loss outcomes=7$"),
        ((4, 10, 3, 3), r"was given \(4, 10, 3, 3\): give the discriminator as many outputs \(.*\)$"),
    ],
)
def test_realness_refuses_logits_of_another_width(shape: tuple[int, ...], message: str) -> None:
    for player in "dg":
        with pytest.raises(ShapeError, match=message):
            values(LOSSES["realness"], player, torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcomes": 1}, "outcomes is 1; it must be at least 2"),
        ({"skew": 0.0}, "skew is 0.0; it must be above 0 and finite"),
        ({"skew": math.nan}, "skew is nan; it must be above 0 and finite"),
        ({"objective": "relativ"}, r"objective is 'relativ'; there is no such objective \(did you mean 'relative'\?\)"),
    ],
)
def test_realness_refuses_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        realness(**options)


def test_scores() -> None:
    logits = torch.randn(4, 3)
    assert torch.equal(LOSSES["vanilla"].scores(logits), logits)
    torch.testing.assert_close(realness(outcomes=3).scores(logits), logits.softmax(1) @ torch.tensor([-1.0, 0.0, 1.0]))
