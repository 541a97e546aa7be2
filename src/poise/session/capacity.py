"""Settling ``batch: auto``."""

from collections.abc import Sequence

from poise.config import Config, build, fabric_for, parse, parse_file
from poise.data import Data
from poise.errors import ConfigError
from poise.runs import Run
from poise.trainer import LARGEST_BATCH, largest_batch

__all__ = ["settled"]


def settled(
    config: Config, run: Run, data: Data, device: str = "auto", trust: Sequence[str] = (), processes: int = 1
) -> Config:
    """The config with a batch that is a number: where it is ``auto``, the run's own, or the largest that fits.

    Args:
        config: the settings.
        run: the run that they go to.
        data: the prepared data.
        device: where it is to fit.
        trust: packages from which the config may import parts of one's own.
        processes: how many are to train together.

    Raises:
        ConfigError: when several processes would have to find it.
        DeviceError: when not even one sample fits.
    """
    if config.batch != "auto":
        return config
    if processes > 1:
        raise ConfigError(
            f"batch is auto, which one process settles, and there are {processes}: train for a step with one to see "
            "what fits, and give --batch so many for each process"
        )
    if run.config_path.exists():
        batch = parse(parse_file(run.config_path), str(run.config_path)).batch
    else:
        fabric = fabric_for(config, data.shape, device)
        batch = largest_batch(
            # The parts of a batch are what has to fit; graphs and programs are not recorded for a trial.
            lambda: build(config.model_copy(update={"execution": "eager"}), data.shape, fabric, trust),
            data.shape,
            min(LARGEST_BATCH, len(data)),
        )
    return config.model_copy(update={"batch": batch})
