"""The guard against NaN and infinity: a loss or gradient that is not finite never reaches the weights."""

from collections.abc import Iterable
from math import isfinite

import torch
from torch import Tensor
from torch.optim import Optimizer

from poise.errors import NonFiniteError

__all__ = ["Guard"]

# Each player's name, and what may help it.
_PLAYERS = {
    "D": ("discriminator", "d_optimizer.lr or its opponent's, raise a gradient penalty"),
    "G": ("generator", "g_optimizer.lr or its opponent's, raise a gradient penalty"),
    "W": ("warm-up", "warmup.optimizer.lr"),
}
_ROLES = "".join(_PLAYERS)


class Guard:
    """Checks each player's loss and gradient norm before its update.

    Where reading a number costs nothing (CPU), or the optimizers leave no other way, the check raises at once. On an
    accelerator it leaves its verdict on the device: optimizers that can skip an update by a device flag (all fused
    ones) skip that update and every later one, and :meth:`raise_if_failed`, called once a tick, reads it. Either way no
    weight has changed since the last good update.

    Args:
        device: where the networks are.
        deferred: leave verdicts on the device; None does so on all devices but the CPU.
    """

    def __init__(self, device: torch.device, deferred: bool | None = None) -> None:
        self._deferred = device.type != "cpu" if deferred is None else deferred
        self._failed = torch.zeros((), device=device)
        self._step = torch.zeros((), device=device, dtype=torch.float64)
        # The first failure: step, player by its place in _ROLES, loss, gradient norm.
        self._first = torch.zeros(4, device=device, dtype=torch.float64)

    def adopt(self, optimizers: Iterable[Optimizer]) -> None:
        """Let optimizers read the flag, if all of them can; else every check raises at once."""
        optimizers = list(optimizers)
        # One that cannot would go on updating its player after the other one had failed.
        self._deferred &= all(getattr(it, "_step_supports_amp_scaling", False) for it in optimizers)
        if self._deferred:
            for optimizer in optimizers:
                optimizer.grad_scale = None  # type: ignore[attr-defined]
                optimizer.found_inf = self._failed  # type: ignore[attr-defined]

    @property
    def deferred(self) -> bool:
        """Whether verdicts stay on the device."""
        return self._deferred

    def begin(self, step: int) -> None:
        """Say which step comes."""
        # On the device where verdicts stay there: what is recorded there must not keep a number of Python's.
        self._step.fill_(step)

    def check(self, role: str, loss: Tensor, norm: Tensor) -> None:
        """Look at one player's loss and gradient norm.

        Raises:
            NonFiniteError: when one of them is not finite, unless the verdict stays on the device.
        """
        if not self._deferred:
            if not (isfinite(loss) and isfinite(norm)):
                raise _error(role, int(self._step), float(loss), float(norm))
            return
        bad = ~torch.isfinite(loss + norm)
        loss, norm = loss.double(), norm.double()
        now = torch.stack([self._step, torch.full_like(loss, _ROLES.index(role)), loss, norm])
        self._first.copy_(torch.where(bad & (self._failed == 0), now, self._first))
        self._failed.copy_(torch.maximum(self._failed, bad.float()))

    def forgive(self) -> None:
        """Forget a verdict, so that updates are made again."""
        self._failed.zero_()

    def raise_if_failed(self) -> None:
        """Read the verdict that stayed on the device, if any does.

        Raises:
            NonFiniteError: when some loss or gradient was not finite since the start.
        """
        if self._deferred and float(self._failed):
            step, player, loss, norm = self._first.tolist()
            raise _error(_ROLES[int(player)], int(step), loss, norm)


def _error(role: str, step: int, loss: float, norm: float) -> NonFiniteError:
    player, advice = _PLAYERS[role]
    what = "loss" if not isfinite(loss) else "gradient"
    return NonFiniteError(
        f"step {step}: the {player}'s {what} is not finite (loss {loss:g}, gradient norm {norm:g}); no weight was "
        f"changed by it. Lower {advice}, or check the data for NaN"
    )
