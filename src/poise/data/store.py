"""Where samples lie, and how those of a batch get to the device.

A batch is fetched in two halves. The first needs no device and no randomness, and may be made in another thread; the
second follows in the thread that trains, and waits for nothing.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poise.data.dataset import Data
from poise.data.indexable import Indexable, Rows

__all__ = ["RESIDENT_SHARE", "Asked", "Resident", "Store", "Streamed", "send", "store"]

RESIDENT_SHARE = 0.25
"""The share of a device's free memory that samples may take; the rest is for networks and what they compute."""

AHEAD = 4
"""How many batches are read ahead from a map that does not fit: enough for a slow one in between."""

_BLOCK_BYTES = 1 << 26


class Store(Protocol):
    """Samples, and the way to a device.

    Attributes:
        ahead: how many first halves are worth making ahead in another thread; 0 for none.
        width: the axis of the rows along which pictures are mirrored.
        values: turns rows on the device into samples as the networks see them.
    """

    ahead: int
    width: int
    values: Callable[[Tensor], Tensor]

    def begin(self, indices: NDArray[np.int64]) -> Tensor:
        """The first half, for the samples at ``indices`` ``(n,)``: a tensor on the CPU."""
        ...

    def end(self, begun: Tensor) -> Tensor:
        """The second half, of what :meth:`begin` gave: rows ``(n, ...)`` on the device, not to be written to."""
        ...


class Resident:
    """All samples on the device, as they are stored, such as uint8: only indices go there for a batch.

    Args:
        data: prepared data, copied to the device here; or a tensor, taken as it is if it is there already.
        device: where to.
    """

    ahead = 0

    def __init__(self, data: Data | Rows, device: torch.device) -> None:
        self._device = device
        if isinstance(data, Data):
            self._rows, self.values = _copied(data.array, device), data.scaling.on(device)
            self.width = 2
        else:
            self._rows, self.values = data.rows.to(device), _same
            self.width = 3

    def begin(self, indices: NDArray[np.int64]) -> Tensor:
        """The indices."""
        return torch.from_numpy(indices)

    def end(self, begun: Tensor) -> Tensor:
        """The rows at the indices."""
        return self._rows.index_select(0, send(begun, self._device))


class Streamed:
    """Prepared data that stays in its memory map: the rows of a batch go to the device, as they are stored.

    Args:
        data: the data.
        device: where to. For a GPU rows are gathered in pinned memory, from which they are copied while it computes.
        ahead: how many batches to read ahead.
    """

    width = 2

    def __init__(self, data: Data, device: torch.device, ahead: int) -> None:
        self.ahead = ahead
        self.values = data.scaling.on(device)
        self._device = device
        self._array = np.asarray(data.array)
        self._dtype = _dtype(self._array)

    def begin(self, indices: NDArray[np.int64]) -> Tensor:
        """The rows at the indices, on the CPU."""
        shape = (len(indices), *self._array.shape[1:])
        rows = torch.empty(shape, dtype=self._dtype, pin_memory=_pins(self._device))
        # NumPy gathers in this thread alone; torch would start threads of its own beside those that train. Unless it
        # clips, it would write to a buffer first.
        np.take(self._array, indices, axis=0, out=rows.numpy(), mode="clip")
        return rows

    def end(self, begun: Tensor) -> Tensor:
        """The same rows on the device."""
        return send(begun, self._device)


class Asked:
    """Samples of a kind of its own, which go to no device by themselves.

    They are asked for in the second half, because they may draw from torch's default generators.

    Args:
        data: the samples.
    """

    ahead = 0
    width = 3

    def __init__(self, data: Indexable) -> None:
        self.values: Callable[[Tensor], Tensor] = _same
        self._data = data

    def begin(self, indices: NDArray[np.int64]) -> Tensor:
        """The indices."""
        return torch.from_numpy(indices)

    def end(self, begun: Tensor) -> Tensor:
        """The samples at the indices."""
        return self._data.tensor(begun.numpy())


def store(data: Indexable, device: torch.device | None = None) -> Store:
    """The fastest way for these samples to this device.

    To a GPU go whole data sets where they fit (see ``RESIDENT_SHARE``), and else the rows of each batch, read ahead.
    For the CPU the memory map is the place to be; another thread would only take time from those that train.

    Args:
        data: the samples.
        device: where the networks are; if none is given, where the samples are.
    """
    if isinstance(data, Data):
        device = device or torch.device("cpu")
        if device.type == "cpu":
            return Streamed(data, device, ahead=0)
        return Resident(data, device) if _fits(data.array.nbytes, device) else Streamed(data, device, AHEAD)
    if isinstance(data, Rows):
        device = device or data.rows.device
        if device.type in ("cpu", data.rows.device.type) or _fits(data.rows.nbytes, device):
            return Resident(data, device)
    return Asked(data)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device, without waiting for the copy."""
    return (tensor.pin_memory() if _pins(device) else tensor).to(device, non_blocking=True)


def _fits(nbytes: int, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return nbytes <= RESIDENT_SHARE * free


def _pins(device: torch.device) -> bool:
    return device.type == "cuda"


def _copied(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array on a device, block by block, so that a map is never in memory as a whole."""
    rows = torch.empty(array.shape, dtype=_dtype(array), device=device)
    step = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    for start in range(0, len(array), step):
        rows[start : start + step] = torch.from_numpy(array[start : start + step].copy())
    return rows


def _dtype(array: NDArray[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, array.dtype)).dtype


def _same(rows: Tensor) -> Tensor:
    return rows
