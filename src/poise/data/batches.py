r"""Which samples each batch holds: a pure function of seed, rank and position, so that resuming needs no state.

The samples of all batches of all ranks form one endless row. Batch :math:`i` of rank :math:`r` of :math:`R` holds the
positions :math:`p = i B R + r B + j` for :math:`0 \le j < B`. Position :math:`p` is in epoch
:math:`e = \lfloor p / N \rfloor` and shows sample :math:`\pi_e(p \bmod N)`, where the permutation :math:`\pi_e`
depends on the seed and :math:`e`. So over all ranks every epoch shows every sample once, batches may straddle epochs,
and the batch size need not divide :math:`N`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from poise.data.ahead import Ahead
from poise.data.dataset import Data
from poise.data.indexable import Indexable, Rows, indexable
from poise.data.store import Batch, Begun, store
from poise.errors import DataError

__all__ = ["Batches"]

_PERMUTATION = 0x706F6973  # tells the randomness of the order from other uses of the same seed


class Batches:
    r"""Batches of samples by their index.

    Flipping mirrors the picture at position p left to right where a hash of the seed and p says so, half of the time.

    Prepared data and tensors go to the device once where they fit, as they are stored, and are scaled and flipped
    there; larger data stays in its memory map, from which :meth:`reading` reads ahead. What a batch holds is the same.

    Args:
        data: the samples; see :func:`~poise.data.indexable`.
        batch: samples a batch on each rank, from 1 to their number.
        seed: at least 0.
        rank: the number of this process, in [0, ranks).
        ranks: how many processes share the data.
        flip: whether to flip pictures at random.
        labelled: whether a batch is ``(samples, labels)``.
        without: the indices of samples that no batch shall hold, ``(m,)``; None for none.
        device: where batches shall be; if none is given, where the samples are. Those of data sets and objects of one's
            own come where these put them.

    Attributes:
        count: how many samples an epoch has.

    Raises:
        DataError: when an argument is out of range, vectors are to be flipped, or labels are wanted and there are none.
    """

    def __init__(
        self,
        data: Indexable | Tensor | NDArray[np.floating] | Dataset[Any],
        batch: int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        flip: bool = False,
        labelled: bool = False,
        without: NDArray[np.int64] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.data = indexable(data)
        self._kept = None if without is None else np.setdiff1d(np.arange(len(self.data)), without)
        self.count = len(self.data) if self._kept is None else len(self._kept)
        if batch < 1:
            raise DataError(f"batch is {batch}; it must be at least 1")
        self.require(batch)
        if not 0 <= rank < ranks:
            raise DataError(f"rank is {rank} of {ranks}; it must be at least 0 and below the number of ranks")
        if seed < 0:
            raise DataError(f"seed is {seed}; it must be at least 0")
        if flip and self.data.tensor(np.zeros(1, dtype=np.int64)).ndim != 4:
            raise DataError("flip is on, and the data is not pictures (n, c, h, w); set flip to false")
        self.batch_size = batch
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.flip = flip
        self._store = store(self.data, device, labelled)
        # Batches in sequence need two epochs at most at a time; another thread may ask too.
        self._permutation = lru_cache(maxsize=2)(partial(permutation, seed, count=self.count))

    def require(self, batch: int) -> None:
        """Refuse a batch that is larger than the data.

        Raises:
            DataError: saying what there is.
        """
        if batch > self.count:
            raise DataError(
                f"batch is {batch} and the data has only {self.count} samples; choose a smaller batch: "
                f"--set batch={self.count} or less"
            )

    def batch(self, index: int) -> Batch:
        """The batch of this number, for this rank.

        Args:
            index: at least 0, without end.

        Returns:
            ``(batch, ...)``, as ``data.tensor`` gives it; where labels are wanted, with these, int64 ``(batch,)``.

        Raises:
            DataError: when the index is negative.
        """
        return self._store.end(self._begin(index))

    @property
    def may_transform(self) -> bool:
        """Whether samples may be made anew each time, perhaps at random: by a data set or an object of one's own."""
        return not isinstance(self.data, Data | Rows)

    @property
    def place(self) -> str:
        """Where the samples are, in words."""
        return self._store.place

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], Batch]]:
        """:meth:`batch`, for asking for one batch after the other: a few more are read ahead where that is of use.

        Another thread reads them, and ends with the context. Samples that may draw from torch's default generators are
        never read ahead, since those belong to all threads.
        """
        if not self._store.ahead:
            yield self.batch
            return
        ahead = Ahead(self._begin, self._store.ahead)
        try:
            yield lambda index: self._store.end(ahead(index))
        finally:
            ahead.close()

    def _begin(self, index: int) -> Begun:
        """What of a batch another thread may do."""
        if index < 0:
            raise DataError(f"the index of a batch is {index}; it must be at least 0")
        start = (index * self.ranks + self.rank) * self.batch_size
        positions = np.arange(start, start + self.batch_size, dtype=np.int64)
        mirrored = np.flatnonzero(coin(self.seed, positions)) if self.flip else None
        return self._store.begin(self._items(positions), mirrored)

    def _items(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sample at each position."""
        epochs, offsets = np.divmod(positions, self.count)
        items = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():  # two at most, because a batch is not longer than an epoch
            here = epochs == epoch
            items[here] = self._permutation(epoch)[offsets[here]]
        return items if self._kept is None else self._kept[items]


def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which an epoch shows ``count`` samples, ``(count,)``."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, epoch, _PERMUTATION]))
    return np.random.Generator(bits).permutation(count)


def coin(seed: int, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A fair coin for every position, ``(n,)``: the top bit of SplitMix64, which is a hash of its counter.

    Source: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, OOPSLA, figure 16.
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    z = start + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    heads: NDArray[np.bool_] = (z ^ (z >> np.uint64(31))) >> np.uint64(63) == 1
    return heads
