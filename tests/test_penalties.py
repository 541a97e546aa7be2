"""Penalties in closed form: a linear critic's gradient is its weight everywhere."""

import pytest
import torch
from torch import Tensor, nn

from poise.errors import ShapeError
from poise.penalties import PENALTIES, GradientPenalty, gradient_penalty

W = torch.tensor([3.0, -4.0, 12.0])  # norm 13
EXPECTED = {"wgan_gp": (13.0 - 1) ** 2, "dragan": (13.0 - 1) ** 2, "r1": 13.0**2 / 2, "r2": 13.0**2 / 2}


def linear(x: Tensor) -> Tensor:
    return (x.flatten(1) @ W.to(x))[:, None] + 5


def test_every_penalty_has_a_closed_form() -> None:
    assert set(EXPECTED) == set(PENALTIES)


@pytest.mark.parametrize("name", PENALTIES)
def test_linear_critic(name: str) -> None:
    real, fake = torch.randn(7, 3), torch.randn(7, 3)
    penalty = gradient_penalty(PENALTIES[name], linear, real, fake)
    torch.testing.assert_close(penalty, torch.full((7,), EXPECTED[name]))


@pytest.mark.parametrize("name", PENALTIES)
def test_gradient_with_respect_to_the_weights(name: str) -> None:
    """d/dw (||w|| - 1)^2 = 2 (||w|| - 1) w / ||w||, and d/dw ||w||^2 / 2 = w."""
    critic = nn.Linear(3, 1)
    critic.weight.data = W[None].clone()
    gradient_penalty(PENALTIES[name], critic, torch.randn(4, 3), torch.randn(4, 3)).mean().backward()
    expected = W if name in ("r1", "r2") else 2 * 12 * W / 13
    torch.testing.assert_close(critic.weight.grad, expected[None])


def test_where_r1_and_r2_are_taken() -> None:
    """The critic ||x||^2 / 2 has gradient x, so R1 is ||real||^2 / 2 and R2 is ||fake||^2 / 2."""
    real, fake = torch.randn(5, 2, 2), torch.randn(5, 2, 2)

    def critic(x: Tensor) -> Tensor:
        return 0.5 * x.flatten(1).square().sum(1)

    for name, points in (("r1", real), ("r2", fake)):
        expected = 0.5 * points.flatten(1).square().sum(1)
        torch.testing.assert_close(gradient_penalty(PENALTIES[name], critic, real, fake), expected)


def test_wgan_gp_points_lie_between_pairs() -> None:
    fake = torch.randn(1000, 4)
    real = fake + 1 + torch.rand(1000, 4)
    points = PENALTIES["wgan_gp"].at(real, fake)
    u = (points - fake) / (real - fake)
    torch.testing.assert_close(u, u[:, :1].expand_as(u), atol=1e-3, rtol=1e-3)  # one u a sample
    assert u.min() > -1e-3
    assert u.max() < 1.001
    assert abs(u[:, 0].mean().item() - 0.5) < 0.05


def test_dragan_points_lie_around_reals() -> None:
    real = torch.randn(500, 4) * 3
    away = PENALTIES["dragan"].at(real, real) - real
    assert away.min() >= 0
    assert away.max() <= 0.5 * real.std()


@pytest.mark.parametrize("name", PENALTIES)
def test_second_derivatives(name: str) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)

    def of_weight(weight: Tensor) -> Tensor:
        torch.manual_seed(1)
        return gradient_penalty(PENALTIES[name], lambda x: torch.tanh(x @ weight).sum(1), real, fake)

    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(of_weight, weight)
    assert torch.autograd.gradgradcheck(of_weight, weight)


@pytest.mark.parametrize("name", PENALTIES)
def test_zero_gradient_stays_finite(name: str) -> None:
    critic = nn.Linear(3, 1)
    nn.init.zeros_(critic.weight)
    penalty = gradient_penalty(PENALTIES[name], critic, torch.randn(4, 3), torch.randn(4, 3))
    penalty.sum().backward()
    assert critic.weight.grad.isfinite().all()


def test_patch_logits_are_averaged() -> None:
    def patches(x: Tensor) -> Tensor:
        return linear(x)[:, :, None, None].expand(-1, 1, 4, 4)

    real, fake = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(gradient_penalty(PENALTIES["r1"], patches, real, fake), torch.full((2,), 84.5))


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\) and fake ones \(4, 2\).*check the generator's output"):
        gradient_penalty(PENALTIES["r1"], linear, torch.randn(4, 3), torch.randn(4, 2))


def test_a_penalty_of_ones_own() -> None:
    own = GradientPenalty(at=lambda real, fake: 0.5 * (real + fake), of=lambda g: g.abs().amax(1))
    torch.testing.assert_close(
        gradient_penalty(own, linear, torch.randn(2, 3), torch.randn(2, 3)), torch.full((2,), 12.0)
    )
