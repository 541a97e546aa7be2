"""Losses against hand-computed points, and the contract that all of them keep."""

import math

import pytest
import torch
from torch import Tensor

from poise.errors import PoiseError, ShapeError
from poise.losses import LOSSES, lsgan, vanilla


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


# Logits of two reals and two fakes, and what each player's loss is of each pair by hand.
A, B = (2.0, -1.0), (0.5, -3.0)
EXPECTED = {
    "vanilla": (
        [softplus(-2.0) + softplus(0.5), softplus(1.0) + softplus(-3.0)],
        [softplus(-0.5), softplus(3.0)],
    ),
    "minimax": (
        [softplus(-2.0) + softplus(0.5), softplus(1.0) + softplus(-3.0)],
        [-softplus(0.5), -softplus(-3.0)],
    ),
    "wasserstein": ([-1.5, -2.0], [-0.5, 3.0]),
    "hinge": ([0 + 1.5, 2.0 + 0.0], [-0.5, 3.0]),
    "lsgan": ([0.5 * 1 + 0.5 * 0.25, 0.5 * 4 + 0.5 * 9], [0.5 * 0.25, 0.5 * 16]),
    "relativistic": ([softplus(-1.5), softplus(-2.0)], [softplus(1.5), softplus(2.0)]),
    # means: a 0.5, b -1.25
    "relativistic_average": (
        [softplus(-3.25) + softplus(0.0), softplus(-0.25) + softplus(-3.5)],
        [softplus(0.0) + softplus(3.25), softplus(3.5) + softplus(0.25)],
    ),
}


def test_every_loss_has_hand_computed_points() -> None:
    assert set(EXPECTED) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_hand_computed_points(name: str) -> None:
    real, fake = torch.tensor(A, dtype=torch.float64), torch.tensor(B, dtype=torch.float64)
    d, g = EXPECTED[name]
    torch.testing.assert_close(LOSSES[name].d(real, fake), torch.tensor(d, dtype=torch.float64))
    torch.testing.assert_close(LOSSES[name].g(real, fake), torch.tensor(g, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 1, 3, 3)])
@pytest.mark.parametrize("name", LOSSES)
def test_one_value_a_sample(name: str, shape: tuple[int, ...]) -> None:
    real, fake = torch.randn(shape), torch.randn(shape)
    for player in ("d", "g"):
        assert getattr(LOSSES[name], player)(real, fake).shape == (5,)


@pytest.mark.parametrize("name", LOSSES)
def test_a_column_is_a_vector(name: str) -> None:
    real, fake = torch.randn(4), torch.randn(4)
    torch.testing.assert_close(LOSSES[name].d(real, fake), LOSSES[name].d(real[:, None], fake[:, None]))


@pytest.mark.parametrize("name", LOSSES)
def test_unequal_shapes_are_refused(name: str) -> None:
    for player in ("d", "g"):
        with pytest.raises(ShapeError, match=r"\(4, 1\) and fake logits \(4,\); a loss needs equal shapes"):
            getattr(LOSSES[name], player)(torch.zeros(4, 1), torch.zeros(4))
        with pytest.raises(PoiseError, match="no batch dimension"):
            getattr(LOSSES[name], player)(torch.zeros(()), torch.zeros(()))


@pytest.mark.parametrize("value", [-50.0, 50.0])
@pytest.mark.parametrize("name", LOSSES)
def test_finite_at_extreme_logits(name: str, value: float) -> None:
    for player in ("d", "g"):
        real = torch.full((3,), value, requires_grad=True)
        fake = torch.full((3,), -value, requires_grad=True)
        loss: Tensor = getattr(LOSSES[name], player)(real, fake)
        loss.sum().backward()
        assert loss.isfinite().all()
        for logits in (real, fake):
            assert logits.grad is None or logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name: str) -> None:
    torch.manual_seed(0)
    real = torch.randn(4, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(4, dtype=torch.float64, requires_grad=True)
    for player in ("d", "g"):
        assert torch.autograd.gradcheck(getattr(LOSSES[name], player), (real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_each_player_is_pushed_its_way(name: str) -> None:
    """D's descent raises real logits above fake ones; G's raises fake logits."""
    real = torch.full((4,), 0.5, requires_grad=True)
    fake = torch.full((4,), 0.5, requires_grad=True)
    LOSSES[name].d(real, fake).sum().backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    LOSSES[name].g(real.detach(), fake).sum().backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_g_uses_real_tells_the_truth(name: str) -> None:
    fake = torch.randn(4)
    same = torch.equal(LOSSES[name].g(torch.randn(4), fake), LOSSES[name].g(torch.randn(4), fake))
    assert same is not LOSSES[name].g_uses_real


def test_label_smoothing_is_cross_entropy_with_target_1_minus_s() -> None:
    real, fake = torch.randn(6), torch.randn(6)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.full((6,), 0.9), reduction="none") + cross_entropy(
        fake, torch.zeros(6), reduction="none"
    )
    torch.testing.assert_close(vanilla(label_smoothing=0.1).d(real, fake), expected)
    torch.testing.assert_close(vanilla(label_smoothing=0.1).g(real, fake), LOSSES["vanilla"].g(real, fake))


@pytest.mark.parametrize("s", [-0.1, 1.0])
def test_label_smoothing_out_of_range(s: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        vanilla(label_smoothing=s)


def test_lsgan_targets() -> None:
    loss = lsgan(a=-1.0, b=1.0, c=0.0)
    real, fake = torch.tensor([0.0]), torch.tensor([3.0])
    assert loss.d(real, fake).item() == 0.5 * 1 + 0.5 * 16
    assert loss.g(real, fake).item() == 0.5 * 9
