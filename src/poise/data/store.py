"""Where samples lie, and how those of a batch get to the device.

A batch is fetched in two halves. The first needs no device and no randomness, and may be made in another thread; the
second follows in the thread that trains, and waits for nothing.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poise.data.dataset import Data
from poise.data.indexable import Indexable, Items, Rows
from poise.errors import DataError

__all__ = [
    "RESIDENT_SHARE",
    "Asked",
    "AskedWithLabels",
    "Batch",
    "Begun",
    "Labelled",
    "Resident",
    "Store",
    "Streamed",
    "send",
    "store",
]

RESIDENT_SHARE = 0.25
"""The share of a device's free memory that samples may take; the rest is for networks and what they compute."""

AHEAD = 4
"""How many batches are read ahead from a map that does not fit: enough for a slow one in between."""

_BLOCK_BYTES = 1 << 26


Batch = Tensor | tuple[Tensor, Tensor]
"""Samples ``(n, ...)``, or these and their labels, int64 ``(n,)``."""


class Begun(NamedTuple):
    """The first half of a batch, on the CPU.

    Attributes:
        samples: what stands for the samples: their indices ``(n,)``, or their rows ``(n, ...)``.
        mirrored: the numbers in [0, n) of those that are still to be mirrored left to right, if there are any.
        labels: of the samples, ``(n,)``; empty where they are not wanted, or not known yet.
    """

    samples: Tensor
    mirrored: Tensor | None
    labels: Tensor = torch.empty(0, dtype=torch.int64)


class Store(Protocol):
    """Samples, and the way to a device.

    Attributes:
        ahead: how many first halves are worth making ahead in another thread; 0 for none.
    """

    ahead: int

    place: str
    """Where the samples are, in words."""

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The first half.

        Args:
            indices: of the samples, ``(n,)``.
            mirrored: which of the n pictures to mirror left to right; None for no pictures or none of them.
        """
        ...

    def end(self, begun: Begun) -> Batch:
        """The second half, of what :meth:`begin` gave: the samples as the networks see them, ``(n, ...)``."""
        ...


class Resident:
    """All samples on the device, as they are stored, such as uint8: only indices go there for a batch.

    Args:
        data: prepared data, copied to the device here; or a tensor, taken as it is if it is there already.
        device: where to.
    """

    ahead = 0
    place = "on the device, whole"

    def __init__(self, data: Data | Rows, device: torch.device) -> None:
        self._device = device
        if isinstance(data, Data):
            self.rows, self._values = _copied(data.array, device), data.scaling.on(device)
            self._width = 2
        else:
            self.rows, self._values = data.rows.to(device), _same
            self._width = 3

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The indices."""
        return _indices(indices, mirrored)

    def end(self, begun: Begun) -> Tensor:
        """Gathered, mirrored and scaled on the device; mirrored first, while they are small."""
        rows = self.rows.index_select(0, send(begun.samples, self._device))
        return self._values(_flipped(rows, begun.mirrored, self._width))


class Streamed:
    """Prepared data that stays in its memory map: the rows of a batch go to the device, as they are stored.

    Args:
        data: the data.
        device: where to. For a GPU rows are gathered in pinned memory, from which they are copied while it computes.
        ahead: how many batches to read ahead.
    """

    def __init__(self, data: Data, device: torch.device, ahead: int) -> None:
        self.ahead = ahead
        self.place = f"read from its memory map, {ahead} batches ahead" if ahead else "read from its memory map"
        self.array = np.asarray(data.array)
        self._values = data.scaling.on(device)
        self._device = device
        self._dtype = _dtype(self.array)

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The rows, mirrored. NumPy makes them in this thread alone; torch would start threads of its own."""
        shape = (len(indices), *self.array.shape[1:])
        samples = torch.empty(shape, dtype=self._dtype, pin_memory=_pins(self._device))
        rows = samples.numpy()
        np.take(self.array, indices, axis=0, out=rows, mode="clip")  # unless it clips, it writes to a buffer first
        if mirrored is not None:
            pixels = rows.view(f"V{rows.shape[-1]}")  # so that a pixel is moved at once, and not each of its channels
            pixels[mirrored] = pixels[mirrored, :, ::-1]
        return Begun(samples, None)

    def end(self, begun: Begun) -> Tensor:
        """Copied to the device and scaled there."""
        return self._values(send(begun.samples, self._device))


class Asked:
    """Samples of a kind of its own, which go to no device by themselves.

    They are asked for in the second half, because they may draw from torch's default generators.

    Args:
        data: the samples.
    """

    ahead = 0
    place = "asked for, batch by batch"

    def __init__(self, data: Indexable) -> None:
        self._data = data

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The indices."""
        return _indices(indices, mirrored)

    def end(self, begun: Begun) -> Tensor:
        """As the data gives them, mirrored."""
        return _flipped(self._data.tensor(begun.samples.numpy()), begun.mirrored, 3)


class AskedWithLabels:
    """Items of a data set with their labels, asked for as a whole, as they may be other ones each time.

    Args:
        data: the data set.
    """

    ahead = 0
    place = Asked.place

    def __init__(self, data: Items) -> None:
        self._data = data

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The indices."""
        return _indices(indices, mirrored)

    def end(self, begun: Begun) -> Batch:
        """As the data gives them, mirrored."""
        samples, labels = self._data.labelled(begun.samples.numpy())
        return _flipped(samples, begun.mirrored, 3), labels


class Labelled:
    """Samples that lie somewhere, and their labels, which the first half looks up.

    Args:
        samples: where the samples lie.
        labels: int64 ``(n,)``.
        device: where to.
    """

    def __init__(self, samples: Resident | Streamed | Asked, labels: NDArray[np.int64], device: torch.device) -> None:
        self.ahead, self.place = samples.ahead, samples.place
        self._samples = samples
        self._labels = labels
        self._device = device

    def begin(self, indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
        """The first half of the samples, and the labels."""
        return self._samples.begin(indices, mirrored)._replace(labels=torch.from_numpy(self._labels[indices]))

    def end(self, begun: Begun) -> Batch:
        """The samples and the labels on the device."""
        return self._samples.end(begun), send(begun.labels, self._device)


def store(data: Indexable, device: torch.device | None = None, labelled: bool = False) -> Store:
    """The fastest way for these samples to this device.

    To a GPU go whole data sets where they fit (see ``RESIDENT_SHARE``), and else the rows of each batch, read ahead.
    For the CPU the memory map is the place to be; another thread would only take time from those that train.

    Args:
        data: the samples.
        device: where the networks are; if none is given, where the samples are.
        labelled: whether their labels are wanted.

    Raises:
        DataError: when labels are wanted and there are none.
    """
    if not labelled:
        return _of_samples(data, device)
    if isinstance(data, Items):
        return AskedWithLabels(data)
    labels = getattr(data, "labels", None)
    if labels is None:
        raise DataError(
            "these samples have no labels, which class-conditional networks need: give class folders, a labelled data "
            "set of the hub, or a torch Dataset of (tensor, label)"
        )
    return Labelled(_of_samples(data, device), np.asarray(labels, dtype=np.int64), device or torch.device("cpu"))


def _of_samples(data: Indexable, device: torch.device | None) -> Resident | Streamed | Asked:
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


def _indices(indices: NDArray[np.int64], mirrored: NDArray[np.int64] | None) -> Begun:
    return Begun(torch.from_numpy(indices), None if mirrored is None else torch.from_numpy(mirrored))


def _flipped(rows: Tensor, mirrored: Tensor | None, width: int) -> Tensor:
    """A copy with some rows mirrored along an axis."""
    if mirrored is None:
        return rows
    which = send(mirrored, rows.device)
    return rows.index_copy(0, which, rows.index_select(0, which).flip(width))


def _same(rows: Tensor) -> Tensor:
    return rows
