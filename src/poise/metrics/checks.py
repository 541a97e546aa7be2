"""What every metric asks of the features that it is given."""

import torch
from torch import Tensor

from poise.errors import MetricError, ShapeError

__all__ = ["checked_finite", "checked_many", "checked_pair", "checked_points", "require_one_space"]

# So many samples are looked at at a time.
_AT_ONCE = 1000


def checked_points(points: Tensor, what: str, least: int = 1) -> Tensor:
    """Points ``(n, d)`` in float64.

    Args:
        points: any floating or integer type.
        what: they are, for messages.
        least: so many are needed.

    Raises:
        ShapeError: when they are not ``(n, d)``.
        MetricError: when there are too few, or some are NaN or infinite.
    """
    return checked_many(points, what, least).double()


def checked_many(points: Tensor, what: str, least: int = 1) -> Tensor:
    """The same as they are, where they may be so many that they would not fit into memory twice."""
    if points.ndim != 2 or not points.shape[1]:
        raise ShapeError(f"{what} have shape {tuple(points.shape)}; a metric needs (n, d): flatten them")
    if len(points) < least:
        raise MetricError(
            f"there are {len(points)} {what}, and this metric needs at least {least}: give more, or leave it out"
        )
    checked_finite(points, what)
    return points


def checked_finite(points: Tensor, what: str) -> None:
    """Refuse NaN and infinity.

    Args:
        points: ``(n, ...)``.
        what: they are, for messages.

    Raises:
        MetricError: saying how many hold some.
    """
    finite = torch.cat([part.isfinite().flatten(1).all(dim=1) for part in torch.split(points, _AT_ONCE)])
    if not finite.all():
        bad = int((~finite).sum())
        raise MetricError(
            f"{bad:,} of {len(points):,} {what} hold NaN or infinite values, of which nothing can be measured; a "
            "generator that gives them has diverged: go back to an earlier checkpoint, or lower g_optimizer.lr"
        )


def checked_pair(real: Tensor, fake: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    """Real and fake features, ``(n, d)`` and ``(m, d)``, in float64 on one device.

    Raises:
        ShapeError: when their dimensions differ.
        MetricError: when there are fewer than ``least`` on one side, or some are not finite.
    """
    points = checked_points(real, "real samples", least), checked_points(fake, "fake samples", least)
    require_one_space(real.shape[1], fake.shape[1])
    return points[0], points[1].to(points[0].device)


def require_one_space(real: int, fake: int) -> None:
    """Refuse features of different dimensions.

    Raises:
        ShapeError: saying the dimensions of both.
    """
    if real != fake:
        raise ShapeError(f"real features have {real} dimensions and fake ones {fake}; take the same features of both")
