"""The sliced Wasserstein distance against closed forms."""

import math

import pytest
import torch

from poise.errors import ShapeError
from poise.metrics import sliced_wasserstein


def test_a_set_against_itself() -> None:
    x = torch.randn(500, 3, 4)
    assert sliced_wasserstein(x, x) == 0
    assert sliced_wasserstein(x, x[torch.randperm(500)]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("d", [1, 2, 16])
def test_a_shift(d: int) -> None:
    """A shift by m moves every projection by m . theta, and E (m . theta)^2 = |m|^2 / d."""
    torch.manual_seed(0)
    x = torch.randn(300, d)
    shift = torch.randn(d)
    assert sliced_wasserstein(x, x + shift, projections=20_000) == pytest.approx(
        shift.norm().item() / math.sqrt(d), rel=0.03
    )


def test_two_gaussians_of_other_widths() -> None:
    """W2 between N(0, 1) and N(0, 2^2) along any direction is 1."""
    torch.manual_seed(0)
    assert sliced_wasserstein(torch.randn(40_000, 2), 2 * torch.randn(40_000, 2), 64) == pytest.approx(1, rel=0.02)


def test_unequal_counts() -> None:
    torch.manual_seed(0)
    assert sliced_wasserstein(torch.randn(20_000, 2), torch.randn(5_000, 2) + 1) == pytest.approx(1, rel=0.05)


def test_same_seed_same_number() -> None:
    x, y = torch.randn(50, 2), torch.randn(50, 2)
    assert sliced_wasserstein(x, y, seed=3) == sliced_wasserstein(x, y, seed=3)


def test_integers_are_measured_as_floats() -> None:
    x, y = torch.randint(0, 256, (2, 50, 3), dtype=torch.uint8)
    assert sliced_wasserstein(x, y) == sliced_wasserstein(x.float(), y.float()) > 0


@pytest.mark.parametrize("other", [torch.zeros(5, 3), torch.zeros(0, 2)])
def test_refused(other: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="at least one sample, all of one shape"):
        sliced_wasserstein(torch.zeros(5, 2), other)
