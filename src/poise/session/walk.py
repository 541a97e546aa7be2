"""A walk through latent space, as an animation."""

from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from poise.data import grid
from poise.errors import ConfigError
from poise.files import write_atomic
from poise.session.sampler import Sampler
from poise.trainer import latents

__all__ = ["slerp", "write_walk"]

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
_FRAME_MILLISECONDS = 60


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    r"""Spherical interpolation: along the great circle, so that every point between is as likely a latent as its ends.

    .. math:: \frac{\sin((1 - t)\,\omega)}{\sin\omega}\,p + \frac{\sin(t\,\omega)}{\sin\omega}\,q,
        \qquad \cos\omega = \frac{p \cdot q}{\lVert p \rVert \lVert q \rVert}

    Args:
        start: p, ``(d,)``.
        end: q, ``(d,)``.
        t: where, ``(n,)`` in [0, 1].

    Returns:
        ``(n, d)``.

    Source: White 2016, Sampling Generative Networks, arXiv 1609.04468; Shoemake 1985, Animating Rotation with
    Quaternion Curves.
    """
    cosine = torch.dot(start, end) / (start.norm() * end.norm())
    omega = torch.arccos(cosine.clamp(-1, 1))
    t = t[:, None]
    if omega.sin().abs() < 1e-6:  # the ends are parallel: the circle is a line
        return torch.lerp(start, end, t)
    return (torch.sin((1 - t) * omega) * start + torch.sin(t * omega) * end) / omega.sin()


def write_walk(sampler: Sampler, path: Path, *, stops: int, seed: int, frames: int = 24, label: int = 0) -> Path:
    """Write a closed walk through ``stops`` random latents, each ``frames`` frames from the next.

    Args:
        sampler: where samples come from.
        path: an animation ``.gif`` or ``.webp``, or ``.png`` for an animated PNG.
        stops: latents on the way, at least 2.
        seed: of the latents.
        frames: frames from one to the next.
        label: the class, where there are classes.

    Raises:
        ConfigError: when the file's kind is none of these, or the samples are not images.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path}: a walk is a {', '.join(_FORMATS)} file")
    if sampler.scaling.kind != "images":
        raise ConfigError(f"a walk is for images; run {sampler.run.name} makes vectors")
    points = latents(max(stops, 2), sampler.config.z_dim, seed)
    t = torch.arange(frames) / frames
    z = torch.cat([slerp(points[i], points[(i + 1) % len(points)], t) for i in range(len(points))])
    labels = torch.full((len(z),), label)
    pictures: list[Image.Image] = [grid(sample[None], min_tile=128) for sample in sampler.restore(z, labels=labels)]
    content = BytesIO()
    pictures[0].save(
        content, format=kind, save_all=True, append_images=pictures[1:], duration=_FRAME_MILLISECONDS, loop=0
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
    return path
