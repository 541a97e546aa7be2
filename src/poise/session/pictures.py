"""Samples as files: pictures as fits the data, single images, arrays."""

from math import sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from poise.data import Data, Scaling, grid, load, save_png, scatter
from poise.errors import ConfigError, PoiseError
from poise.session.sampler import Sampler

__all__ = ["PICTURED_POINTS", "draw", "has_picture", "write_picture", "write_samples"]

PICTURED_POINTS = 2500


def has_picture(scaling: Scaling) -> bool:
    """Whether samples can be drawn: images, and points in the plane."""
    return scaling.kind == "images" or scaling.shape == (2,)


def draw(data: Data | None, samples: np.ndarray, title: str, classes: int = 0) -> Image.Image:
    """A grid of images, or points in the plane over the real density.

    Args:
        data: what the samples imitate; images do not need it, and points lie on white without it.
        samples: uint8 images ``(n, h, w, c)``, or points ``(n, 2)`` in data units.
        title: of a plot.
        classes: of how many the images are, one after the other: a column of the grid is of one class, where that makes
            it no wider than twice a square.
    """
    if samples.ndim == 4:
        return grid(samples, _columns(len(samples), classes))
    real = None if data is None else data.density or np.asarray(data.array)
    return scatter(samples, real, title=title)


def _columns(n: int, classes: int) -> int | None:
    """The multiple of ``classes`` that makes a grid of ``n`` most like a square."""
    side = sqrt(n)
    return None if not 0 < classes <= 2 * side else classes * max(1, round(side / classes))


def write_picture(sampler: Sampler, samples: np.ndarray, path: Path, *, seed: int, classes: int = 0) -> Path:
    """Write one picture of all samples, of ``classes`` as :func:`draw` takes them, as a PNG file; return its path.

    Raises:
        ConfigError: when samples of this shape cannot be drawn.
    """
    if not has_picture(sampler.scaling):
        raise ConfigError(
            f"vectors of {sampler.scaling.shape[0]} dimensions have no picture; write the numbers with --out DIR"
        )
    data = None if sampler.scaling.kind == "images" else _background(sampler)
    save_png(draw(data, samples, sampler.title, classes), path, sampler.text(seed))
    return path


def _background(sampler: Sampler) -> Data | None:
    """The real points, where they are still to be had; a picture of the samples alone is worth having too."""
    try:
        data = load(sampler.config.data)
    except (PoiseError, OSError) as error:
        sampler.warnings.append(f"drawn without the real points: {str(error).partition(';')[0]}")
        return None
    if data.fingerprint != sampler.config.fingerprint:
        sampler.warnings.append(f"drawn without the real points: {sampler.config.data} has changed since the training")
        return None
    return data


def write_samples(sampler: Sampler, samples: np.ndarray, directory: Path, *, seed: int) -> list[Path]:
    """Write single PNGs ``00000.png``, or one ``samples.npy`` for vectors; return their paths.

    Numbered samples of an earlier and larger call are removed: else they would pass for some of these.

    Raises:
        ConfigError: when a file of such a name is there that is no sample of poise's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if sampler.scaling.kind == "vectors":
        path = directory / "samples.npy"
        np.save(path, samples)
        return [path]
    paths = [directory / f"{index:05d}.png" for index in range(len(samples))]
    for path in paths:
        if path.exists() and not _is_sample(path):
            raise ConfigError(f"{path} is there, and no sample that poise wrote: give another --out")
    for index, (sample, path) in enumerate(zip(samples, paths, strict=True)):
        image = Image.fromarray(sample[..., 0] if sample.shape[-1] == 1 else sample)
        save_png(image, path, sampler.text(seed) | {"index": str(index)})
    for path in directory.glob("*.png"):
        if path not in paths and _is_sample(path):
            path.unlink()
    return paths


def _is_sample(path: Path) -> bool:
    """Whether :func:`write_samples` wrote a file: by its name, and by what the file says of itself."""
    if not path.stem.isdecimal():
        return False
    try:
        with Image.open(path) as image:
            said = image.info
    except OSError:
        return False
    return "run" in said and said.get("index", "").zfill(5) == path.stem
