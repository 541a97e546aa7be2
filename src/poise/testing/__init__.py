"""Contracts: what poise's own parts keep, as checks to be run on parts of one's own.

A check is one call that returns nothing where all is well, and else raises an AssertionError that says what was
expected, what was seen and what to change. It needs no test framework, so that it works in a notebook as in a test::

    from poise.testing import check_loss, check_trains

    def test_my_loss():
        check_loss(my_loss)
        check_trains(loss=my_loss)

Checks run on the CPU in seconds at most; those of networks run where the network is. They draw random numbers of
their own and leave those of the caller alone.
"""

from poise.testing.balance import check_balance
from poise.testing.loss import check_loss
from poise.testing.network import check_discriminator, check_generator
from poise.testing.optimizer import check_optimizer
from poise.testing.penalty import check_penalty
from poise.testing.training import check_hook, check_trains

__all__ = [
    "check_balance",
    "check_discriminator",
    "check_generator",
    "check_hook",
    "check_loss",
    "check_optimizer",
    "check_penalty",
    "check_trains",
]
