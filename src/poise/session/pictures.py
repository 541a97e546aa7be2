"""Pictures of samples, as fits the data: a grid of images, or points over the real density."""

from pathlib import Path

import numpy as np

from poise.data import Data, grid, save_png, scatter

__all__ = ["PICTURED_POINTS", "has_picture", "picture"]

PICTURED_POINTS = 2500


def has_picture(data: Data) -> bool:
    """Whether samples of this data can be drawn: images, and points in the plane."""
    return data.kind == "images" or data.shape == (2,)


def picture(data: Data, samples: np.ndarray, path: Path, *, run: str, step: int, seed: int) -> None:
    """Draw samples and write a PNG that carries its run, step and seed as text chunks.

    Args:
        data: what the samples imitate.
        samples: uint8 images ``(n, h, w, c)``, or points ``(n, 2)`` in data units.
        path: the PNG.
        run: the run's name.
        step: steps done.
        seed: of the latents.
    """
    if data.kind == "images":
        image = grid(samples)
    else:
        image = scatter(samples, data.density or data.array, title=f"{run} · step {step:,}")
    save_png(image, path, {"run": run, "step": str(step), "seed": str(seed)})
