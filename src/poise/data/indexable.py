"""Samples of any kind, by their index."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from poise.errors import DataError

__all__ = ["Indexable", "Items", "Rows", "indexable"]


@runtime_checkable
class Indexable(Protocol):
    """Samples that can be had by index."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The samples at ``indices`` ``(n,)``, as the networks see them: floating point, ``(n, ...)``."""
        ...


class Rows:
    """A floating-point tensor ``(n, ...)`` as :class:`Indexable`, in float32."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows.float()

    def __len__(self) -> int:
        return len(self.rows)

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The rows at ``indices``."""
        return self.rows.index_select(0, torch.from_numpy(indices).to(self.rows.device))


class Items:
    """A map-style data set as :class:`Indexable`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The samples at ``indices``."""
        return torch.stack([self._sample(int(index), self._dataset[int(index)]) for index in indices])

    def labelled(self, indices: NDArray[np.integer]) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples at ``indices`` and their labels, int64 ``(n,)``.

        Raises:
            DataError: when an item has no label.
        """
        items = [(int(index), self._dataset[int(index)]) for index in indices]
        labels = [self._label(index, item) for index, item in items]
        return torch.stack([self._sample(index, item) for index, item in items]), torch.tensor(labels)

    def _label(self, index: int, item: Any) -> int:
        if isinstance(item, tuple | list) and len(item) > 1:
            label = item[1]
            if isinstance(label, int | np.integer) or (isinstance(label, torch.Tensor) and label.numel() == 1):
                return int(label)
        raise DataError(
            f"item {index} of the {type(self._dataset).__name__} has no label; for networks that take classes, items "
            "must be (tensor, label) with whole numbers from 0"
        )

    def _sample(self, index: int, item: Any) -> torch.Tensor:
        if isinstance(item, tuple | list) and item:
            item = item[0]
        if not isinstance(item, torch.Tensor):
            raise DataError(
                f"item {index} of the {type(self._dataset).__name__} is a {type(item).__name__}; items must be tensors "
                "or (tensor, label): give the data set a transform that makes them, such as ToTensor"
            )
        if not item.is_floating_point():
            raise DataError(
                f"item {index} of the {type(self._dataset).__name__} has type {item.dtype}; items must be floating "
                "point, as the networks see them: give the data set a transform that converts and scales them, such as "
                "ToTensor and Normalize"
            )
        return item.float()


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
        return Rows(samples)
    if isinstance(samples, Indexable):
        return samples
    if hasattr(samples, "__getitem__") and hasattr(samples, "__len__"):
        return Items(samples)
    raise DataError(
        f"{type(samples).__name__} cannot be trained on; give poise.data.load(...), a floating-point tensor or array, "
        "a map-style torch Dataset, or any object with __len__ and tensor(indices)"
    )


def _unfit(samples: torch.Tensor | NDArray[Any]) -> DataError:
    return DataError(
        f"the samples have type {samples.dtype} and shape {tuple(samples.shape)}; they must be floating point, "
        "(n, ...), as the networks see them: poise.data.load(array) converts pixels and scales them"
    )
