"""Features of a small classifier that is trained on the labelled data itself, so that everything works offline."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from poise.errors import MetricError
from poise.files import write_atomic
from poise.metrics.features.extractor import Examples, Extractor, Workplace, require_images

__all__ = ["Classifier", "classifier", "require"]

FORMAT = 1
"""Part of every key. Count it up when the same data shall give another classifier."""

_SEED = 0
_WIDTH, _WIDEST = 32, 128
_SIDE, _FINE_SIDE = 64, 16
_BATCH = 64
_PEAK_LR = 4e-3
_PASSES = 6
_LEAST_SHOWN, _MOST_SHOWN = 10_000, 80_000
_LEAST_EXAMPLES = 50
_KEY = "poise"


class Network(nn.Module):
    """A small convolutional network: 3 x 3 convolutions with batch norm, halving the side down to 4, and their mean.

    Images above 16 pixels are halved by the first of them, which makes it quick enough for a CPU.

    Args:
        channels: of the images.
        side: of the images, in pixels; above 64 they are reduced to 64 first.
        classes: how many.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        width, side = _WIDTH, min(side, _SIDE)
        stride = 1 if side <= _FINE_SIDE else 2
        blocks, side = [_block(channels, width, stride)], side // stride
        while side > 4:
            wider = min(2 * width, _WIDEST)
            blocks.append(_block(width, wider, 2))
            width, side = wider, side // 2
        self.body = nn.Sequential(*blocks, _block(width, _WIDEST, 1))
        self.head = nn.Linear(_WIDEST, classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Features ``(n, 128)`` of uint8 images ``(n, h, w, c)``."""
        images = rows.permute(0, 3, 1, 2).float().div(127.5).sub(1)
        if images.shape[-1] > _SIDE:
            images = functional.adaptive_avg_pool2d(images, _SIDE)
        features: Tensor = self.body(images).mean(dim=(2, 3))
        return features


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Classifier(Extractor):
    """The last hidden layer of a trained network.

    Args:
        network: the network.
        accuracy: on data that it was not trained on.
        workplace: where it computes.
    """

    name = "classifier"

    def __init__(self, network: Network, accuracy: float, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.network = network.to(workplace.device).eval()
        self.accuracy = accuracy
        self.identity = _digest(network)
        self.about = f"held-out accuracy {accuracy:.1%}"

    def features(self, rows: Tensor) -> Tensor:
        """The mean of the last layer's activations over the image, ``(n, 128)``."""
        features: Tensor = self.network(rows)
        return features

    @torch.no_grad()
    def classes_of(self, features: Tensor) -> Tensor:
        """The likeliest class of each sample, ``(n,)``, from its features ``(n, 128)``."""
        logits: Tensor = self.network.head(features.to(self.workplace.device))
        return logits.argmax(dim=1).cpu()


def classifier(examples: Examples, workplace: Workplace) -> Classifier:
    """The classifier of this data: from the cache, or trained now; on one machine the same for the same data.

    Args:
        examples: labelled images.
        workplace: where it is trained and kept.

    Raises:
        MetricError: when the data has no labels or is not of images, or is too little to learn from.
    """
    labels = labels_of(examples)
    path = None
    if workplace.cache is not None and examples.fingerprint:
        path = workplace.cache / f"classifier-{examples.fingerprint}-{FORMAT}.safetensors"
    found = None if path is None else _read(path, examples)
    if found is None:
        found = train(examples.rows, labels, examples.classes, workplace)
        if path is not None:
            _write(path, *found)
    return Classifier(*found, workplace)


def require(examples: Examples) -> None:
    """Refuse data that no classifier can be trained on: see :func:`labels_of`."""
    labels_of(examples)


def labels_of(examples: Examples) -> NDArray[np.int64]:
    """The labels of images.

    Raises:
        MetricError: when the data is of vectors, has no labels of 2 or more classes, or is too little to learn from.
    """
    way_out = "take other features, such as raw"
    require_images(examples, "classifier")
    labels = examples.labels
    if labels is None or examples.classes < 2:
        raise MetricError(
            f"classifier features need labels of 2 or more classes, and this data has none; give class folders, or "
            f"{way_out}"
        )
    if len(labels) < _LEAST_EXAMPLES:
        raise MetricError(
            f"classifier features need at least {_LEAST_EXAMPLES} labelled images to learn from, and there are "
            f"{len(labels)}; {way_out}"
        )
    return labels


def train(
    rows: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, workplace: Workplace
) -> tuple[Network, float]:
    """Train a network on nine tenths of the data (four fifths where there is little); measure it on the rest.

    AdamW with one cycle of the learning rate, over 6 passes but at least 10,000 and at most 80,000 images: seconds
    on small data, minutes at most.

    Returns:
        The network, and its accuracy on the rest.
    """
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(rows))
    held_out = max(len(rows) // 10, min(len(rows) // 5, 500))
    unseen, seen = np.sort(order[:held_out]), order[held_out:]
    device = workplace.device
    network = _begun(rows, classes).to(device).train()
    batch = min(_BATCH, len(seen))
    shown = min(max(_PASSES * len(seen), _LEAST_SHOWN), _MOST_SHOWN)
    steps = max(1, shown // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK_LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_LR, total_steps=steps)
    position, title = len(seen), "training a classifier to measure by, once"
    for _ in workplace.progress(title, range(steps), steps):
        if position + batch > len(seen):
            position = 0
            rng.shuffle(seen)
        chosen = np.sort(seen[position : position + batch])
        position += batch
        images, targets = (torch.from_numpy(it[chosen]).to(device) for it in (rows, labels))
        loss = functional.cross_entropy(network.head(network(_shifted(images, rng))), targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.eval()
    return network, _accuracy(network, rows, labels, unseen, device)


def _begun(rows: NDArray[np.uint8], classes: int) -> Network:
    """An untrained network for these images, the same each time; no one else's random numbers move."""
    side, channels = rows.shape[2:4]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)  # of the CPU alone, as no other is forked
        return Network(channels, side, classes)


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The batch moved by up to a sixteenth of its side, its borders drawn out."""
    reach = images.shape[2] // 16
    if not reach:
        return images
    down, across = (int(it) for it in rng.integers(-reach, reach + 1, 2))
    height, width = (torch.arange(size, device=images.device) for size in images.shape[1:3])
    height, width = ((at + by).clamp(0, len(at) - 1) for at, by in ((height, down), (width, across)))
    return images[:, height][:, :, width]


@torch.no_grad()
def _accuracy(
    network: Network, rows: NDArray[np.uint8], labels: NDArray[np.int64], chosen: NDArray[np.intp], device: torch.device
) -> float:
    right = 0
    for part in np.array_split(chosen, -(-len(chosen) // 250)):
        logits = network.head(network(torch.from_numpy(rows[part]).to(device)))
        right += int((logits.argmax(dim=1).cpu().numpy() == labels[part]).sum())
    return right / len(chosen)


def _weights(network: Network) -> Mapping[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def _digest(network: Network) -> str:
    state = blake2b(digest_size=4)
    for value in _weights(network).values():
        state.update(value.numpy().tobytes())
    return state.hexdigest()


def _write(path: Path, network: Network, accuracy: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(dict(_weights(network)), metadata={_KEY: json.dumps({"accuracy": accuracy})}))


def _read(path: Path, examples: Examples) -> tuple[Network, float] | None:
    """An intact classifier; None where there is none, or one that is damaged."""
    network = _begun(examples.rows, examples.classes)
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return network, float(about["accuracy"])
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError):
        return None
