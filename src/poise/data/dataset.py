"""Data that is ready to be trained on: one array, and the way from its units to the network's and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poise.data.density import Mixture
from poise.data.scaling import Kind, Scaling

__all__ = ["Data"]


@dataclass(frozen=True, eq=False)
class Data:
    """Samples in memory or in a read-only memory map, and how to turn them into tensors and back.

    Attributes:
        source: what the person gave: ``"digits"``, a path.
        kind: ``"images"`` or ``"vectors"``.
        array: pictures, uint8 ``(n, h, w, c)``, or vectors, float32 ``(n, d)`` in the units of the data; read-only.
        labels: the index into ``classes`` of every sample, int64 ``(n,)``, or None.
        classes: the names of the labels; ``()`` where there are none.
        fingerprint: a hex digest of content and settings. Equal fingerprints mean equal data.
        skipped: the files that could not be read, each as ``"path: reason"``.
        center: for vectors, the mean of every column, float32 ``(d,)``.
        scale: for vectors, the standard deviation of every column, float32 ``(d,)``; 1 where a column is constant.
        density: the true density, where it is known.
    """

    source: str
    kind: Kind
    array: NDArray[Any]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    fingerprint: str
    skipped: tuple[str, ...] = ()
    center: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None
    density: Mixture | None = None

    def __post_init__(self) -> None:
        if (self.kind == "vectors") != (self.center is not None and self.scale is not None):
            raise ValueError(f"{self.source}: vectors have a center and a scale, and images have neither")

    def __len__(self) -> int:
        return len(self.array)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample as the networks see it: ``(c, h, w)`` or ``(d,)``."""
        if self.kind == "vectors":
            return (self.array.shape[1],)
        _, height, width, channels = self.array.shape
        return (channels, height, width)

    @property
    def scaling(self) -> Scaling:
        """The way from the data's units to the networks' and back."""
        return Scaling(self.kind, self.shape, self.center, self.scale)

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The samples at ``indices`` ``(n,)`` as the networks see them: see :meth:`Scaling.tensor`."""
        return self.scaling.tensor(np.take(self.array, indices, axis=0))

    def restore(self, samples: torch.Tensor) -> NDArray[Any]:
        """Samples that a generator made, in the data's units: see :meth:`Scaling.restore`."""
        return self.scaling.restore(samples)
