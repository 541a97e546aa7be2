r"""Stacked MNIST: three digits in the channels of one image, 1,000 modes; and how many of these samples reach.

The task is that of Metz et al. 2016, Unrolled GANs, arXiv 1611.02163; measured as in Lin et al. 2017, PacGAN, arXiv
1712.04086, section 4.2: a classifier of single digits reads each channel of 26,000 samples, a mode is reached when one
sample is of it, and the divergence is KL(samples || uniform) over the modes, in nats.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from poise.data import Data
from poise.files import write_atomic
from poise.metrics import classes

__all__ = [
    "CHANNELS",
    "LEAST_ACCURACY",
    "InaccurateReaderError",
    "Reader",
    "modes_of",
    "modes_reached",
    "reader",
    "stack",
]

CHANNELS = 3
LEAST_ACCURACY = 0.99

_BATCH = 128
_PEAK_LR = 3e-3


class InaccurateReaderError(RuntimeError):
    """Modes are not counted by a classifier that mistakes them."""


def stack(digits: Data, count: int, path: Path, seed: int = 0) -> Path:
    """Write images of three digits each, drawn independently and uniformly with replacement, as a ``.npy``.

    Args:
        digits: gray images.
        count: how many images.
        path: of the file; where there is one, it is left as it is.
        seed: of the draws.

    Returns:
        The path.
    """
    if not path.exists():
        chosen = np.random.default_rng(seed).integers(len(digits), size=(count, CHANNELS))
        images = np.stack([digits.array[column, :, :, 0] for column in chosen.T], axis=-1)
        file = BytesIO()
        np.save(file, images)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, file.getvalue())
    return path


class Reader(nn.Module):
    """A classifier of single digits.

    Args:
        side: of the images, in pixels, a multiple of 4.
        classes: how many.
    """

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, 2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of uint8 images ``(n, h, w)``."""
        logits: Tensor = self.layers(images.unsqueeze(1).float() / 127.5 - 1)
        return logits

    @torch.no_grad()
    def read(self, images: NDArray[np.uint8]) -> Tensor:
        """The likeliest class of each image ``(n, h, w)``, ``(n,)``."""
        self.eval()
        return torch.cat([self(torch.from_numpy(np.array(part))).argmax(1) for part in _parts(images)])


def _parts(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return np.array_split(images, -(-len(images) // 500))


def reader(digits: Data, path: Path, least: float = LEAST_ACCURACY, passes: int = 4) -> Reader:
    """The classifier of single digits: trained on nine tenths of them once, measured on the rest, and kept.

    Args:
        digits: gray images with labels.
        path: of the file that its weights are kept in.
        least: the share of the rest that it must be right on.
        passes: over the digits, with one cycle of the learning rate of AdamW.

    Raises:
        InaccurateReaderError: when it is right less often; nothing is kept then.
    """
    assert digits.labels is not None
    network = Reader(digits.shape[-1], len(digits.classes))
    if path.exists():
        network.load_state_dict(load_file(path))
        return network
    rng = np.random.default_rng(0)
    unseen, seen = np.split(rng.permutation(len(digits)), [len(digits) // 10])
    _train(network, digits, seen, passes, rng)
    right = network.read(digits.array[unseen, :, :, 0]).numpy() == digits.labels[unseen]
    if right.mean() < least:
        raise InaccurateReaderError(
            f"the classifier of digits is right on {right.mean():.1%} of those it was not trained on; to count modes "
            f"it must be on {least:.1%}: give more digits"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(network.state_dict(), metadata={"accuracy": f"{right.mean():.4f}"}))
    return network


def _train(network: Reader, digits: Data, seen: NDArray[np.intp], passes: int, rng: np.random.Generator) -> None:
    assert digits.labels is not None
    steps = passes * max(len(seen) // _BATCH, 1)
    reach = digits.shape[-1] // 16
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK_LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_LR, total_steps=steps)
    network.train()
    for _ in range(steps):
        chosen = rng.choice(seen, min(_BATCH, len(seen)), replace=False)
        moved = np.roll(digits.array[chosen, :, :, 0], rng.integers(-reach, reach + 1, 2), axis=(1, 2))
        loss = functional.cross_entropy(network(torch.from_numpy(moved)), torch.from_numpy(digits.labels[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def modes_of(images: NDArray[np.uint8], reader: Reader) -> Tensor:
    """The mode ``(n,)`` of each image ``(n, h, w, 3)``: its digits as one number, that of the first channel leading."""
    mode = torch.zeros(len(images), dtype=torch.long)
    for channel in range(CHANNELS):
        mode = mode * reader.classes + reader.read(images[..., channel])
    return mode


def modes_reached(images: NDArray[np.uint8], reader: Reader) -> dict[str, float]:
    """``modes`` and ``modes_kl`` of samples ``(n, h, w, 3)``; n perfect ones have a KL of about 999 / (2 n)."""
    count = reader.classes**CHANNELS
    found = classes(modes_of(images, reader), torch.arange(count), count)
    return {"modes": float(found.captured), "modes_kl": found.kl}
