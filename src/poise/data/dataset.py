"""Data that is ready to be trained on: one array, and the way from its units to the network's and back."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from poise.data.density import Mixture
from poise.errors import ShapeError

__all__ = ["Data"]


@dataclass(frozen=True, eq=False)
class Data:
    r"""Samples in memory or in a read-only memory map, and how to turn them into tensors and back.

    Pictures become :math:`x / 127.5 - 1 \in [-1, 1]`; vectors are standardized, :math:`(x - \mu) / \sigma`, column by
    column.

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
    kind: Literal["images", "vectors"]
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

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        """The samples at ``indices``, as the networks see them.

        Args:
            indices: which samples, ``(n,)``, integers in [0, len).

        Returns:
            float32 on the CPU: pictures ``(n, c, h, w)`` in [-1, 1] in channels-last memory, or standardized vectors
            ``(n, d)``.
        """
        rows = np.asarray(self.array[indices])  # indexing by an array copies, so the caller may write to the result
        if self.center is not None and self.scale is not None:
            return torch.from_numpy((rows - self.center) / self.scale)
        return torch.from_numpy(rows).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)

    def restore(self, samples: torch.Tensor) -> NDArray[Any]:
        """The inverse of :meth:`tensor`, for samples that a generator made.

        Args:
            samples: ``(n, c, h, w)`` or ``(n, d)``, any floating type, any device.

        Returns:
            Pictures, uint8 ``(n, h, w, c)``, rounded and clipped; or vectors, float32 ``(n, d)``, in the data's units.

        Raises:
            ShapeError: when the samples do not have the shape of this data.
        """
        if tuple(samples.shape[1:]) != self.shape:
            raise ShapeError(
                f"samples have shape {tuple(samples.shape)}; {self.source} needs "
                f"(n, {', '.join(map(str, self.shape))}): build the generator for this data"
            )
        values = samples.detach().to("cpu", torch.float32)
        if self.center is not None and self.scale is not None:
            vectors: NDArray[np.float32] = values.numpy() * self.scale + self.center
            return vectors
        levels = values.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous().numpy()
