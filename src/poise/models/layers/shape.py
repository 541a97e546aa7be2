"""The same values in another shape, or some of them."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Reshape", "Split"]


class Reshape(nn.Module):
    """The values of a sample, in order, in another shape.

    Args:
        shape: the shape of a sample.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to ``(n, *shape)``."""
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return str(self.shape)


class Split(nn.Module):
    """A stretch of one dimension.

    Args:
        start: where it begins.
        size: how long it is.
        dim: the dimension; 0 is the batch.
    """

    def __init__(self, start: int, size: int, dim: int = 1) -> None:
        super().__init__()
        self.start = start
        self.size = size
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to a view of it."""
        return x.narrow(self.dim, self.start, self.size)

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return f"{self.start}:{self.start + self.size}, dim={self.dim}"
