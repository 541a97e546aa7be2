"""The pictures of a run: real samples once, generated ones from time to time."""

from itertools import cycle
from pathlib import Path

import numpy as np
from torch import Tensor

from poise.config import Config
from poise.data import Data, save_png
from poise.hooks import Samples
from poise.runs import Run
from poise.session.pictures import PICTURED_POINTS, draw, has_picture

__all__ = ["Album"]


class Album:
    """Draws samples as fits the data. Data of which there is no picture has an empty album.

    Args:
        run: where the pictures go.
        data: what the samples imitate.
        config: how many and how often.
    """

    def __init__(self, run: Run, data: Data, config: Config) -> None:
        self._run, self._data, self._config = run, data, config
        self._count = config.samples.count if data.kind == "images" else PICTURED_POINTS

    def hooks(self) -> list[Samples]:
        """What draws generated samples, if they can be drawn."""
        if not has_picture(self._data.scaling):
            return []
        longest = self._config.samples.at_most_kimg
        return [
            Samples(
                self._run.samples,
                self._draw,
                self._count,
                self._config.seed,
                self._config.samples.first_step,
                None if longest is None else max(1, round(1000 * longest / self._config.samples_a_batch)),
            )
        ]

    def draw_real(self) -> None:
        """Draw real samples as generated ones are drawn, once."""
        path = self._run.real_picture
        if not has_picture(self._data.scaling) or path.exists():
            return
        real = np.take(self._data.array, self._some_real(), axis=0)
        path.parent.mkdir(exist_ok=True)
        image = draw(self._data, real, f"{self._run.name} · real samples", len(self._config.classes))
        save_png(image, path, {"run": self._run.name, "seed": str(self._config.seed)})

    def _some_real(self) -> np.ndarray:
        """The indices of real samples; where networks know classes, one class after the other, as samples are."""
        n, random, labels = self._count, np.random.default_rng(self._config.seed), self._data.labels
        if labels is None or not self._config.classes:
            return random.choice(len(self._data), min(n, len(self._data)), replace=False)
        members = [np.flatnonzero(labels == label) for label in range(len(self._config.classes))]
        return np.array([random.choice(of) for _, of in zip(range(n), cycle(filter(len, members)), strict=False)])

    def _draw(self, samples: Tensor, step: int, path: Path) -> None:
        title, classes = f"{self._run.name} · step {step:,}", len(self._config.classes)
        image = draw(self._data, self._data.restore(samples), title, classes)
        save_png(image, path, {"run": self._run.name, "step": str(step), "seed": str(self._config.seed)})
