"""What the watch of a session looks at."""

import numpy as np
import torch
from numpy.typing import NDArray

from poise.data import Data
from poise.trainer import Trainer
from poise.watch import Probe, about_data, about_loss

__all__ = ["first_facts", "probe_of"]

_SEED = 0

# Where there are no more training samples than this, copies of them are looked for among all of them.
_FEW = 1024


def probe_of(trainer: Trainer, data: Data, held_out: NDArray[np.int64], count: int) -> Probe:
    """What measures a trainer beside its data.

    Args:
        trainer: of the networks.
        data: all of it.
        held_out: the indices of samples that are not trained on.
        count: how many images a measurement takes of each kind, or four times as many vectors; fewer where there are
            fewer.
    """
    count = count if data.kind == "images" else 4 * count
    trained = np.setdiff1d(np.arange(len(data)), held_out)
    chosen = np.random.default_rng(_SEED).permutation(trained)[: 2 * min(count, len(trained) // 2)]
    aside = held_out[:count]

    def samples(indices: NDArray[np.int64]) -> torch.Tensor:
        return data.tensor(indices).to(trainer.device)

    labels = None
    if trainer.classes and data.labels is not None:
        of = data.labels
        chosen_labels, aside_labels = (torch.from_numpy(of[it]).to(trainer.device) for it in (chosen, aside))
        labels = (chosen_labels, aside_labels if len(aside) else None)
    return Probe(
        samples(chosen),
        samples(aside) if len(aside) else None,
        samples(trained) if len(trained) <= _FEW else None,
        labels,
    )


def first_facts(trainer: Trainer, data: Data) -> dict[str, float]:
    """What stands out before the first step."""
    return about_data(data) | about_loss(trainer)
