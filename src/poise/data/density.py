r"""Densities that are known in closed form, so that generated points can be scored against the truth."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Density", "Mixture"]


class Density(Protocol):
    """A distribution over d-dimensional points that can be evaluated and drawn from."""

    def pdf(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probability density ``(n,)`` at ``points`` ``(n, d)``."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` points, ``(n, d)``."""
        ...


@dataclass(frozen=True, eq=False)
class Mixture:
    r"""A mixture of k Gaussians of equal weight and one width.

    .. math:: p(x) = \frac1k \sum_i (2 \pi \sigma^2)^{-d/2} \exp\!\left(-\frac{\|x - \mu_i\|^2}{2 \sigma^2}\right)

    Attributes:
        means: the centres of the modes, ``(k, d)``, float64.
        sigma: the standard deviation of each mode along each axis, above 0.
    """

    means: NDArray[np.float64]
    sigma: float

    def pdf(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probability density at each point.

        Args:
            points: where, ``(n, d)``.

        Returns:
            The densities, ``(n,)``.
        """
        at = np.asarray(points, dtype=np.float64)
        modes, dimensions = self.means.shape
        total = np.zeros(len(at))
        # One mode at a time: (n, k, d) at once would be gigabytes when the points are the pixels of a picture.
        for mean in self.means:
            total += np.exp(-np.square(at - mean).sum(axis=1) / (2 * self.sigma**2))
        densities: NDArray[np.float64] = total / (modes * (2 * np.pi * self.sigma**2) ** (dimensions / 2))
        return densities

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw points together with the modes they came from.

        Args:
            n: how many.
            rng: where the randomness comes from.

        Returns:
            The points, ``(n, d)``, and the index of the mode of each, ``(n,)``.
        """
        modes = rng.integers(len(self.means), size=n)
        return self.means[modes] + self.sigma * rng.standard_normal((n, self.means.shape[1])), modes

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` points, ``(n, d)``."""
        return self.draw(n, rng)[0]
