"""Networks that grow, in a run that ends."""

from copy import deepcopy
from math import isclose
from typing import NamedTuple

from torch import nn

from poise.config import Config
from poise.models import Growing
from poise.trainer import Trainer

__all__ = ["EarlyEnd", "early_end", "grown"]


class EarlyEnd(NamedTuple):
    """That a run is over before its networks have their full size.

    Attributes:
        kimg: where it ends, about.
        grown_at_kimg: where they are grown.
        side: of the images then.
    """

    kimg: float
    grown_at_kimg: float
    side: int


def grown(network: nn.Module) -> nn.Module:
    """A network as it is in the end: of one that grows, a copy at its full size."""
    if isinstance(network, Growing):
        network = deepcopy(network)
        network.progress(network.grown_at_kimg)
    return network


def early_end(trainer: Trainer, config: Config) -> EarlyEnd | None:
    """Whether the steps that are left end a run too early, if they do."""
    steps = config.steps
    growing = [it for it in (trainer.generator, trainer.discriminator) if isinstance(it, Growing)]
    if steps is None or not growing:
        return None
    grown_at, side = growing[0].grown_at_kimg, growing[0].side  # of both: they grow at the same time
    left = steps - max(trainer.steps, 0 if trainer.warmup is None else trainer.warmup.steps)
    images = _batches_a_step(trainer, steps) * config.samples_a_batch
    end = (trainer.nimg + max(left, 0) * images) / 1000
    return EarlyEnd(end, grown_at, side) if end < grown_at and not isclose(end, grown_at) else None


def _batches_a_step(trainer: Trainer, step: int) -> int:
    """How many real batches D is shown at a step that is far along, as the policy would plan it without signals."""
    balance = trainer.balance
    if balance.looks_ahead:  # the batch that it looks at is the one that is played on
        return 1
    return sum("D" in phase for phase in deepcopy(balance).plan(step, {}))
