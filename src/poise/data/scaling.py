r"""The way from the data's units to the networks' and back: small enough to be kept beside a generator's weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from poise.errors import ShapeError

__all__ = ["Kind", "Scaling"]

Kind = Literal["images", "vectors"]

_HALF = 127.5


@dataclass(frozen=True, eq=False)
class Scaling:
    r"""Pictures become :math:`x / 127.5 - 1 \in [-1, 1]`; vectors :math:`(x - \mu) / \sigma`, column by column.

    Attributes:
        kind: ``"images"`` or ``"vectors"``.
        shape: of one sample as the networks see it, ``(c, h, w)`` or ``(d,)``.
        center: for vectors, the mean of every column, float32 ``(d,)``.
        scale: for vectors, the standard deviation of every column, float32 ``(d,)``; 1 where a column is constant.
    """

    kind: Kind
    shape: tuple[int, ...]
    center: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None

    def tensor(self, rows: NDArray[Any]) -> torch.Tensor:
        """Samples as the networks see them.

        Args:
            rows: uint8 ``(n, h, w, c)``, or float32 ``(n, d)`` in the data's units.

        Returns:
            float32 on the CPU: pictures ``(n, c, h, w)`` in [-1, 1] in channels-last memory, or standardized vectors
            ``(n, d)``.
        """
        # NumPy computes in this thread alone. Torch would share even so little work with threads that are still busy
        # with the step before, or find their cores taken, and then wait for them many times longer than it takes.
        if self.center is not None and self.scale is not None:
            return torch.from_numpy((rows - self.center) / self.scale)
        values = rows.astype(np.float32)
        values /= _HALF
        values -= 1
        return torch.from_numpy(values).permute(0, 3, 1, 2)

    def on(self, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
        """:meth:`tensor` for rows that are on a device, with the same values.

        Args:
            device: where the rows will be; what they are divided by is put there now.
        """
        if device.type == "cpu":
            return lambda rows: self.tensor(rows.numpy())
        if self.center is not None and self.scale is not None:
            center, scale = (torch.from_numpy(column).to(device) for column in (self.center, self.scale))
            return partial(standardized, center=center, scale=scale)
        return partial(centered, half=torch.full((), _HALF, device=device))

    def restore(self, samples: torch.Tensor) -> NDArray[Any]:
        """The inverse of :meth:`tensor`, for samples that a generator made.

        Args:
            samples: ``(n, c, h, w)`` or ``(n, d)``, any floating type, any device.

        Returns:
            Pictures, uint8 ``(n, h, w, c)``, rounded and clipped; or vectors, float32 ``(n, d)``, in the data's units.

        Raises:
            ShapeError: when the samples do not have the shape of the data.
        """
        if tuple(samples.shape[1:]) != self.shape:
            raise ShapeError(
                f"samples have shape {tuple(samples.shape)}; the data needs (n, {', '.join(map(str, self.shape))}): "
                "build the generator for this data"
            )
        values = samples.detach().to("cpu", torch.float32)
        if self.center is not None and self.scale is not None:
            vectors: NDArray[np.float32] = values.numpy() * self.scale + self.center
            return vectors
        return levels(values).numpy()

    def to_json(self) -> dict[str, Any]:
        """JSON values, from which :meth:`from_json` makes an equal one."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "center": None if self.center is None else self.center.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Scaling":
        """The inverse of :meth:`to_json`, exact."""
        center, scale = (
            None if fields[name] is None else np.asarray(fields[name], np.float32) for name in ("center", "scale")
        )
        return cls(fields["kind"], tuple(fields["shape"]), center, scale)


def levels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures ``(n, c, h, w)`` in [-1, 1] as files have them: uint8 ``(n, h, w, c)``, rounded and clipped."""
    rounded = pictures.add(1).mul_(_HALF).round_().clamp_(0, 255)
    return rounded.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def standardized(rows: torch.Tensor, center: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Vectors ``(n, d)`` as the networks see them."""
    return (rows - center).div_(scale)


def centered(rows: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """Pictures ``(n, h, w, c)`` as the networks see them.

    Args:
        rows: uint8.
        half: 127.5 as a tensor, because by a Python number GPUs do not divide: they multiply by its rounded inverse.
    """
    # The conversion keeps the order of the memory, so that (n, h, w, c) becomes channels-last without a copy.
    return rows.permute(0, 3, 1, 2).to(torch.float32).div_(half).sub_(1)
