"""Images from the pixels of others.

Pixels are gathered, as torch's own ``grid_sample`` cannot be differentiated twice, and gradient penalties ask for that.
"""

import torch
from torch import Tensor

__all__ = ["affine", "translate"]


def _taken(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels ``(n, c, h, w)`` at whole rows and columns, ``(n, h, w)`` or what broadcasts to it."""
    n, c, h, w = images.shape
    places = (rows * w + columns).reshape(n, 1, h * w).expand(n, c, h * w)
    return images.flatten(2).gather(2, places).reshape(n, c, h, w)


def translate(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Images moved by whole pixels; where nothing comes from, they become 0.

    Args:
        images: ``(n, c, h, w)``.
        down: pixels, ``(n,)``, int64.
        right: likewise.
    """
    h, w = images.shape[2:]
    rows = torch.arange(h, device=images.device)[:, None] - down[:, None, None]
    columns = torch.arange(w, device=images.device) - right[:, None, None]
    is_outside = (rows < 0) | (rows >= h) | (columns < 0) | (columns >= w)
    moved = _taken(images, rows.clamp(0, h - 1), columns.clamp(0, w - 1))
    return moved.masked_fill(is_outside[:, None], 0.0)


def affine(images: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    r"""Images read at other places: bilinearly, and reflected at the centers of the pixels at their borders.

    .. math:: y(u) = x(A u + b)

    with u the place of a pixel, in pixels from the center of the image. Whole places give the very pixels there.

    Args:
        images: ``(n, c, h, w)``.
        linear: A ``(n, 2, 2)``, for places (column, row).
        offset: b ``(n, 2)``, likewise, in pixels.
    """
    h, w = images.shape[2:]
    v = (torch.arange(h, device=images.device) - (h - 1) / 2)[:, None]
    u = torch.arange(w, device=images.device) - (w - 1) / 2
    # Products of single numbers: a matrix product could be rounded to bfloat16 or TF32, which are fractions of pixels.
    (a, b), (c, d) = (row.unbind(1) for row in linear[..., None, None].unbind(1))
    right, down = offset[..., None, None].unbind(1)
    columns = _reflected(a * u + b * v + right + (w - 1) / 2, w)
    rows = _reflected(c * u + d * v + down + (h - 1) / 2, h)
    left, top = columns.floor(), rows.floor()
    x, y = (columns - left)[:, None], (rows - top)[:, None]
    lefts, tops = left.long(), top.long()
    rights, bottoms = (lefts + 1).clamp(max=w - 1), (tops + 1).clamp(max=h - 1)
    upper = (1 - x) * _taken(images, tops, lefts) + x * _taken(images, tops, rights)
    lower = (1 - x) * _taken(images, bottoms, lefts) + x * _taken(images, bottoms, rights)
    return (1 - y) * upper + y * lower


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places along an axis, reflected at 0 and at ``size - 1`` until they lie between."""
    last = size - 1
    return (last - (places.remainder(max(2 * last, 1)) - last).abs()).clamp(0, last)
