r"""The batch of all processes, of which each holds its part.

A training in R processes gives the weights of one process for the same batch, if what looks at a batch as a whole looks
at that of all, and if the random number of a sample depends on the sample's place in it. So losses, penalties and
layers take means over the batch and draw numbers for samples by these functions. In a single process they are those of
torch, to the bit.

The objective of a training is the mean over processes, :math:`\frac1R \sum_k L_k`, where :math:`L_k` may be a function
of what other processes hold.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poise.parallel.world import World

__all__ = [
    "gathered",
    "is_spread",
    "mean",
    "norm",
    "processes",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "share",
    "spread_over",
    "std",
]


class _Spread(NamedTuple):
    world: World
    generator: torch.Generator
    rows: int

    def own(self, drawn: Tensor) -> Tensor:
        """Of numbers for the samples of all processes, those for the samples of this one.

        Where several batches lie one after the other, such as reals and fakes in one pass, each of them is spread.
        """
        n = len(drawn) // self.world.size
        part = self.rows if n % self.rows == 0 else n
        starts = range(self.world.rank * part, len(drawn), self.world.size * part)
        blocks = [drawn[start : start + part] for start in starts]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


_spread: _Spread | None = None


@contextmanager
def spread_over(world: World, generator: torch.Generator, rows: int) -> Iterator[None]:
    """For a while, the batch is spread over processes.

    Args:
        world: the processes.
        generator: in the same state in all of them.
        rows: samples of the batch in each of them.
    """
    global _spread
    before, _spread = _spread, _Spread(world, generator, rows) if world.size > 1 else None
    try:
        yield
    finally:
        _spread = before


def is_spread() -> bool:
    """Whether other processes hold parts of the batch now."""
    return _spread is not None


def processes() -> int:
    """How many processes hold the batch."""
    return 1 if _spread is None else _spread.world.size


def mean(values: Tensor, dim: int | list[int] | None = None) -> Tensor:
    """The mean over the whole batch: over all entries, or over dimensions of which the first is one."""
    own = values.mean() if dim is None else values.mean(dim)
    return own if _spread is None else _spread.world.sum(own) / _spread.world.size


def std(values: Tensor) -> Tensor:
    """The unbiased standard deviation over all entries of the whole batch, ``()``."""
    if _spread is None:
        return values.std()
    count = _spread.world.size * values.numel()
    return (mean((values - mean(values)).square()) * (count / (count - 1))).sqrt()


def norm(values: Tensor) -> Tensor:
    """The Euclidean norm over all entries of the whole batch, ``()``; its subgradient at 0 is 0."""
    own: Tensor = torch.linalg.vector_norm(values)
    return own if _spread is None else torch.linalg.vector_norm(_spread.world.gather(own[None]))


def gathered(rows: Tensor) -> Tensor:
    """The rows of the whole batch, for few numbers a sample."""
    return rows if _spread is None else _spread.world.gather(rows)


def share(value: Tensor) -> Tensor:
    """This process's share of a number that is a mean over the batch, where shares are summed.

    It is for what is differentiated with respect to samples: a derivative is that of the sum of all processes' values.
    """
    return value if _spread is None else value / _spread.world.size


# Random numbers. What is drawn for all processes is drawn in each of them, so that none depends on how many there are.


def rand(n: int, *shape: int, **options: Any) -> Tensor:
    """``torch.rand``, for ``n`` samples of this process."""
    return _drawn(torch.rand, n, shape, options)


def randn(n: int, *shape: int, **options: Any) -> Tensor:
    """``torch.randn``, for ``n`` samples of this process."""
    return _drawn(torch.randn, n, shape, options)


def randint(low: int, high: int, n: int, *shape: int, **options: Any) -> Tensor:
    """``torch.randint``: whole numbers from ``low`` to ``high - 1``, for ``n`` samples of this process."""
    return _drawn(partial(torch.randint, low, high), n, shape, options)


def rand_like(samples: Tensor) -> Tensor:
    """``torch.rand_like``, for samples of this process."""
    return _drawn_like(torch.rand_like, Tensor.uniform_, samples)


def randn_like(samples: Tensor) -> Tensor:
    """``torch.randn_like``, for samples of this process."""
    return _drawn_like(torch.randn_like, Tensor.normal_, samples)


def _drawn(draw: Callable[..., Tensor], n: int, shape: Sequence[int], options: dict[str, Any]) -> Tensor:
    if _spread is None:
        return draw((n, *shape), **options)
    return _spread.own(draw((_spread.world.size * n, *shape), generator=_spread.generator, **options))


def _drawn_like(draw: Callable[[Tensor], Tensor], fill: Callable[..., Tensor], samples: Tensor) -> Tensor:
    if _spread is None:
        return draw(samples)
    everyone = torch.cat([samples.detach()] * _spread.world.size)  # in the same memory format, by which they are filled
    return _spread.own(fill(everyone, generator=_spread.generator))
