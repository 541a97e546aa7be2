"""What features are: a function of samples as files have them, with a name that tells it from all others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poise.errors import MetricError, MissingExtraError

__all__ = [
    "Examples",
    "Extractor",
    "Progress",
    "Workplace",
    "fetched",
    "package_for",
    "require_images",
    "rgb",
    "silent",
]

Progress = Callable[[str, Iterable[Any], int], Iterable[Any]]
"""``progress(what, iterable, total)`` wraps the iterable that long work runs over, to show how far it is."""


_CPU = torch.device("cpu")


def silent(what: str, items: Iterable[Any], total: int) -> Iterable[Any]:
    """Show nothing."""
    return items


@dataclass(frozen=True, eq=False)
class Examples:
    """Real data.

    Attributes:
        rows: images, uint8 ``(n, h, w, c)``, or vectors, float32 ``(n, d)``; in memory or in a memory map.
        labels: the class of each, int64 ``(n,)``, or None.
        classes: how many there are; 0 without labels.
        fingerprint: a digest of the content: equal ones mean equal data.
        center: of vectors, the mean of every column, float32 ``(d,)``, or None.
        scale: of vectors, the standard deviation of every column, 1 where it is constant; float32 ``(d,)``, or None.
    """

    rows: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    classes: int = 0
    fingerprint: str = ""
    center: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None

    @property
    def are_images(self) -> bool:
        """Whether they are images."""
        return self.rows.ndim == 4


@dataclass(frozen=True, eq=False)
class Workplace:
    """Where features are computed.

    Attributes:
        device: of the networks.
        cache: a directory for what is computed once; None for nowhere.
        progress: shows how far long work is.
    """

    device: torch.device = _CPU
    cache: Path | None = None
    progress: Progress = silent


class Extractor(ABC):
    """Turns samples into features, a batch at a time.

    Attributes:
        name: in ``FEATURES``.
        identity: tells features of one name apart: of networks, their version or a digest of their weights. Numbers of
            different features cannot be compared.
        about: what a person should know of them, a few words; may be empty.
        costs_nothing: whether they take no longer than to read the samples.
    """

    name: str
    identity: str = ""
    about: str = ""
    costs_nothing = False
    batch = 250

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace

    def of(self, rows: NDArray[Any], what: str = "", chosen: NDArray[np.intp] | None = None) -> Tensor:
        """Features of samples.

        Args:
            rows: uint8 images ``(n, h, w, c)`` as saved files have them, or vectors ``(n, d)``.
            what: they are, for the display.
            chosen: the indices of those that are meant; if none are given, all. Of a memory map no more is read.

        Returns:
            ``(n, k)``, float32 on the CPU.
        """
        count = len(rows) if chosen is None else len(chosen)
        starts = range(0, count, self.batch)
        title = f"{self.name} features{f' of {what}' if what else ''}"
        chunks = self.workplace.progress(title, starts, len(starts))
        with torch.no_grad():
            parts = (slice(start, start + self.batch) for start in chunks)
            return torch.cat([self._on_device(rows[part if chosen is None else chosen[part]]) for part in parts])

    def _on_device(self, rows: NDArray[Any]) -> Tensor:
        samples = torch.from_numpy(np.array(rows)).to(self.workplace.device)
        return self.features(samples).float().cpu()

    @abstractmethod
    def features(self, rows: Tensor) -> Tensor:
        """Features ``(n, k)`` of one batch on the device: uint8 images ``(n, h, w, c)``, or vectors ``(n, d)``."""


def package_for(examples: Examples, name: str, package: str, module: str) -> Any:
    """A module of a package that is an extra, for features of images.

    Args:
        examples: the data.
        name: of the features; the extra has it too.
        package: what is installed.
        module: what is imported.

    Raises:
        MetricError: when the data is of vectors.
        MissingExtraError: when the package is not installed, or cannot be imported beside what else is.
    """
    require_images(examples, name)
    try:
        return import_module(module)
    except Exception as error:  # a package that does not fit the torch that is installed raises what it will
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({next(iter(str(error).splitlines()), error)})"
        raise MissingExtraError(
            f"{name} features need the '{package}' package{reason}: pip install 'poise[{name}]', or take other features"
        ) from error


def require_images(examples: Examples, name: str) -> None:
    """Refuse vectors.

    Raises:
        MetricError: naming the features.
    """
    if not examples.are_images:
        raise MetricError(f"{name} features are of images, and this data is of vectors; take standardized ones")


def fetched(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose weights come over the network at the first use; no one else's random numbers move.

    Args:
        name: of the features.
        make: makes it.

    Raises:
        MetricError: when the weights cannot be had.
    """
    with torch.random.fork_rng(devices=[]):  # layers draw weights before they are loaded
        try:
            return make()
        except Exception as error:  # whatever the network, the file system and the hubs raise
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise MetricError(
                f"the weights for {name} features cannot be fetched ({first}); they come over the network at the "
                "first use: connect once, or take other features, such as classifier or raw"
            ) from error


def rgb(rows: Tensor) -> Tensor:
    """Images ``(n, h, w, c)`` as ``(n, 3, h, w)``: gray ones three times, those with opacity without it."""
    images = rows.permute(0, 3, 1, 2)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
