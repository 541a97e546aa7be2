"""How the processes of one training meet."""

import os

from lightning_fabric import Fabric

from poise.config import Config, differences
from poise.errors import ConfigError, PeerError
from poise.parallel import World

__all__ = ["joined", "require_one_training"]


def joined(fabric: Fabric) -> World:
    """The processes, after they have met.

    Raises:
        PeerError: when they could not.
    """
    if fabric.world_size > 1:
        try:
            fabric.launch()
        except RuntimeError as error:
            where = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
            raise PeerError(
                f"the {fabric.world_size} processes of this training could not meet at {where} "
                f"({str(error).splitlines()[0][:200]}): see that all are started, and that the address and the port "
                "can be reached from their machines"
            ) from error
    return World(fabric.global_rank, fabric.world_size)


def require_one_training(world: World, config: Config) -> None:
    """Refuse processes that were started with other settings or data than the first one.

    Raises:
        ConfigError: in every process.
    """
    first, *others = world.of_all(config)
    for rank, other in enumerate(others, 1):
        changes = differences(first, other, ignore=("data",))  # where it lies may differ; the fingerprint tells
        if changes:
            error = ConfigError(
                f"process {rank} was started with other settings than process 0 ({'; '.join(changes)}): start all of "
                "them by one command, with the same recipe and data"
            )
            error.is_known_to_all = True
            raise error
