r"""Which samples each batch holds: a pure function of seed, rank and position, so that resuming needs no state.

The samples of all batches of all ranks form one endless row. Batch :math:`i` of rank :math:`r` of :math:`R` holds the
positions :math:`p = i B R + r B + j` for :math:`0 \le j < B`. Position :math:`p` is in epoch
:math:`e = \lfloor p / N \rfloor` and shows sample :math:`\pi_e(p \bmod N)`, where the permutation :math:`\pi_e`
depends on the seed and :math:`e`. So over all ranks every epoch shows every sample once, batches may straddle epochs,
and the batch size need not divide :math:`N`.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from poise.errors import DataError

__all__ = ["Batches", "Indexable", "indexable"]

_PERMUTATION = 0x706F6973  # tells the randomness of the order from other uses of the same seed


@runtime_checkable
class Indexable(Protocol):
    """Samples that can be had by index."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The samples at ``indices`` ``(n,)``, as the networks see them: floating point, ``(n, ...)``."""
        ...


class _Rows:
    """A tensor as :class:`Indexable`."""

    def __init__(self, rows: torch.Tensor) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        return self._rows[torch.from_numpy(indices).to(self._rows.device)]


class _Items:
    """A map-style data set as :class:`Indexable`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        return torch.stack([self._item(int(index)) for index in indices])

    def _item(self, index: int) -> torch.Tensor:
        item = self._dataset[index]
        if isinstance(item, (tuple, list)) and item:
            item = item[0]
        if not isinstance(item, torch.Tensor):
            raise DataError(
                f"item {index} of the {type(self._dataset).__name__} is a {type(item).__name__}; items must be tensors "
                "or (tensor, label): give the data set a transform that makes them, such as ToTensor"
            )
        return item


def indexable(samples: Indexable | torch.Tensor | NDArray[np.floating] | Dataset[Any]) -> Indexable:
    """Make samples of any kind available by index.

    Args:
        samples: something :class:`Indexable` already, such as :class:`poise.data.Data`; a floating-point tensor or
            array ``(n, ...)``, taken as it is; or a map-style torch data set whose items are tensors or
            ``(tensor, label)``.

    Raises:
        DataError: when it is none of these, or a tensor or array of integers.
    """
    if isinstance(samples, np.ndarray):
        if samples.dtype.kind != "f":
            raise _unfit(samples)
        samples = torch.from_numpy(samples.astype(np.float32))
    if isinstance(samples, torch.Tensor):
        if not samples.is_floating_point() or samples.ndim < 2:
            raise _unfit(samples)
        return _Rows(samples)
    if isinstance(samples, Indexable):
        return samples
    if hasattr(samples, "__getitem__") and hasattr(samples, "__len__"):
        return _Items(samples)
    raise DataError(
        f"{type(samples).__name__} cannot be trained on; give poise.data.load(...), a floating-point tensor or array, "
        "a map-style torch Dataset, or any object with __len__ and tensor(indices)"
    )


class Batches:
    r"""Batches of samples by their index.

    Flipping mirrors the picture at position p left to right where a hash of the seed and p says so, half of the time.

    Args:
        data: the samples; see :func:`indexable`.
        batch: samples a batch on each rank, from 1 to their number.
        seed: at least 0.
        rank: the number of this process, in [0, ranks).
        ranks: how many processes share the data.
        flip: whether to flip pictures at random.

    Raises:
        DataError: when an argument is out of range, or vectors are to be flipped.
    """

    def __init__(
        self,
        data: Indexable | torch.Tensor | NDArray[np.floating] | Dataset[Any],
        batch: int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        flip: bool = False,
    ) -> None:
        self.data = indexable(data)
        if batch < 1:
            raise DataError(f"batch is {batch}; it must be at least 1")
        if batch > len(self.data):
            raise DataError(
                f"batch is {batch} and the data has only {len(self.data)} samples; choose a smaller batch: "
                f"--set batch={len(self.data)} or less"
            )
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
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def batch(self, index: int) -> torch.Tensor:
        """The batch of this number, for this rank.

        Args:
            index: at least 0, without end.

        Returns:
            ``(batch, ...)``, as ``data.tensor`` gives it.

        Raises:
            DataError: when the index is negative.
        """
        if index < 0:
            raise DataError(f"the index of a batch is {index}; it must be at least 0")
        start = (index * self.ranks + self.rank) * self.batch_size
        positions = np.arange(start, start + self.batch_size, dtype=np.int64)
        samples = self.data.tensor(self._items(positions))
        if not self.flip:
            return samples
        flipped = torch.from_numpy(coin(self.seed, positions)).to(samples.device)
        return torch.where(flipped[:, None, None, None], samples.flip(-1), samples)

    def _items(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sample at each position."""
        epochs, offsets = np.divmod(positions, len(self.data))
        items = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():  # two at most, because a batch is not longer than an epoch
            here = epochs == epoch
            items[here] = self._permutation(epoch)[offsets[here]]
        return items

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        """The order of an epoch. The last two are kept, which is all that batches in sequence need."""
        if epoch not in self._permutations:
            while len(self._permutations) > 1:
                del self._permutations[next(iter(self._permutations))]
            self._permutations[epoch] = permutation(self.seed, epoch, len(self.data))
        return self._permutations[epoch]


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


def _unfit(samples: torch.Tensor | NDArray[Any]) -> DataError:
    return DataError(
        f"the samples have type {samples.dtype} and shape {tuple(samples.shape)}; they must be floating point, "
        "(n, ...), as the networks see them: poise.data.load(array) converts pixels and scales them"
    )
