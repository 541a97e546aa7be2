"""What trials are compared by."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from poise.config import Config
from poise.data import Data
from poise.session import Evaluation
from poise.trainer import resolved_device

__all__ = ["Goal", "as_drawn", "goal_of"]


class Goal(NamedTuple):
    """A metric; of its values in a run, the best counts.

    Attributes:
        metric: the number.
        higher_is_better: whether it is better high.
    """

    metric: str
    higher_is_better: bool


def goal_of(config: Config, data: Data, device: str = "auto") -> Goal:
    """The metric by which trainings of a config choose their best checkpoint.

    Args:
        config: the settings.
        data: what is trained on.
        device: where.

    Raises:
        MetricError: when the data cannot be measured by the metric.
    """
    evaluation = Evaluation(data, config.evaluate, torch.device(resolved_device(device)))
    return Goal(evaluation.metric, evaluation.higher_is_better)


def as_drawn(assignments: Sequence[str]) -> list[str]:
    """What lets trials be of the settings that they are compared by: the watch gives one up, and changes none.

    Args:
        assignments: ``a.b=c``, those of a person, which are not overridden.
    """
    given = {it.partition("=")[0].strip() for it in assignments}
    return [] if {"watch", "watch.rollbacks"} & given else ["watch.rollbacks=0"]
