"""Training in several processes: what they say to each other, and how they notice that one has ended.

Every process holds the same networks and a part of the same batch. This package knows no algorithm: a :class:`World`
sums, gathers and agrees over processes; :mod:`poise.parallel.batch` is the batch of all of them, for losses and
penalties that look at it as a whole or draw a number for each of its samples.
"""

from poise.parallel import batch
from poise.parallel.heartbeat import Heartbeat
from poise.parallel.norm import SynchronizedBatchNorm, synchronize_batch_norms_
from poise.parallel.world import World

__all__ = [
    "Heartbeat",
    "SynchronizedBatchNorm",
    "World",
    "batch",
    "synchronize_batch_norms_",
]
