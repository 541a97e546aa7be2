"""Samples as files: pictures as fits the data, single images, arrays."""

from pathlib import Path

import numpy as np
from PIL import Image

from poise.data import Data, Scaling, grid, load, save_png, scatter
from poise.errors import ConfigError
from poise.session.sampler import Sampler

__all__ = ["PICTURED_POINTS", "draw", "has_picture", "write_picture", "write_samples"]

PICTURED_POINTS = 2500


def has_picture(scaling: Scaling) -> bool:
    """Whether samples can be drawn: images, and points in the plane."""
    return scaling.kind == "images" or scaling.shape == (2,)


def draw(data: Data, samples: np.ndarray, title: str) -> Image.Image:
    """A grid of images, or points in the plane over the real density.

    Args:
        data: what the samples imitate.
        samples: uint8 images ``(n, h, w, c)``, or points ``(n, 2)`` in data units.
        title: of a plot.
    """
    if data.kind == "images":
        return grid(samples)
    return scatter(samples, data.density or np.asarray(data.array), title=title)


def write_picture(sampler: Sampler, samples: np.ndarray, path: Path, *, seed: int) -> Path:
    """Write one picture of all samples; return its path.

    Raises:
        ConfigError: when samples of this shape cannot be drawn.
    """
    if not has_picture(sampler.scaling):
        raise ConfigError(
            f"vectors of {sampler.scaling.shape[0]} dimensions have no picture; write the numbers with --out DIR"
        )
    is_image = sampler.scaling.kind == "images"
    image = grid(samples) if is_image else draw(load(sampler.config.data), samples, sampler.title)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(image, path, sampler.text(seed))
    return path


def write_samples(sampler: Sampler, samples: np.ndarray, directory: Path, *, seed: int) -> list[Path]:
    """Write single PNGs ``00000.png``, or one ``samples.npy`` for vectors; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    if sampler.scaling.kind == "vectors":
        path = directory / "samples.npy"
        np.save(path, samples)
        return [path]
    paths = [directory / f"{index:05d}.png" for index in range(len(samples))]
    for index, (sample, path) in enumerate(zip(samples, paths, strict=True)):
        image = Image.fromarray(sample[..., 0] if sample.shape[-1] == 1 else sample)
        save_png(image, path, sampler.text(seed) | {"index": str(index)})
    return paths
