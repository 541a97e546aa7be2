"""A policy that skips no steps: it moves settings until D's lead is within a band."""

from collections.abc import Mapping
from typing import Any, Final

from poise.balance.fixed import Alternating
from poise.balance.policy import Plan

__all__ = ["Feedback"]

# How far the levers go: at the ends of the control, penalties weigh so many times more or less, D's learning rate is so
# many times lower or higher, and augmentation is so much more probable.
_PENALTIES, _D_LR, _AUGMENT = 16.0, 4.0, 0.6

# What a running mean keeps of itself with each new number.
_KEEP = 0.9


class Feedback(Alternating):
    r"""The players alternate; D's lead is held in a band by its penalties, its learning rate and augmentation.

    Every ``every`` steps the share of pairs that D orders rightly (``d_accuracy``) enters a running mean m. Above the
    band the control u grows by ``gain``, below it falls, within :math:`[-1, 1]`; inside the band it stays. All levers
    follow u: the weights of D's penalties are multiplied by :math:`16^u`, D's learning rate by :math:`4^{-u}`, and
    where images are augmented with a given probability, :math:`0.6 \max(u, 0)` is added to it, up to 0.8.

    Args:
        low: where the band begins, in [0.5, 1).
        high: where it ends, above ``low`` and below 1.
        gain: the change of u each time, above 0.
        every: steps between two readings, at least 1; each may wait for the device.
        d_steps: updates of D a step, at least 1.
        g_steps: updates of G a step, at least 1.
        pretrain_d: in the first so many steps only D moves, once a step.

    Raises:
        ValueError: when an argument is out of range.
    """

    def __init__(
        self,
        low: float = 0.52,
        high: float = 0.9,
        gain: float = 0.02,
        every: int = 8,
        d_steps: int = 1,
        g_steps: int = 1,
        pretrain_d: int = 0,
    ) -> None:
        super().__init__(d_steps, g_steps, pretrain_d)
        if not 0.5 <= low < high < 1:
            raise ValueError(f"low is {low} and high is {high}; they must be 0.5 <= low < high < 1")
        if not 0 < gain <= 1:
            raise ValueError(f"gain is {gain}; it must be above 0 and at most 1")
        if every < 1:
            raise ValueError(f"every is {every}; it must be at least 1")
        self.low: Final = low
        self.high: Final = high
        self.gain: Final = gain
        self.every: Final = every
        self._accuracy: float | None = None
        self._control = 0.0

    def plan(self, step: int, signals: Mapping[str, float]) -> Plan:
        """Look at D's lead when it is time; then alternate."""
        if step % self.every == 0 and "d_accuracy" in signals:
            self._look(signals["d_accuracy"])
        return super().plan(step, signals)

    def _look(self, accuracy: float) -> None:
        before = accuracy if self._accuracy is None else self._accuracy
        self._accuracy = mean = _KEEP * before + (1 - _KEEP) * accuracy
        push = self.gain * ((mean > self.high) - (mean < self.low))
        self._control = min(max(self._control + push, -1.0), 1.0)

    @property
    def penalty_factor(self) -> float:
        """What D's penalties are multiplied by."""
        return float(_PENALTIES**self._control)

    @property
    def d_lr_factor(self) -> float:
        """What D's learning rate is multiplied by."""
        return float(_D_LR**-self._control)

    @property
    def augment_more(self) -> float:
        """What is added to the probability of augmentation."""
        return _AUGMENT * max(self._control, 0.0)

    def numbers(self) -> dict[str, float]:
        """The control and what follows from it."""
        return {
            "balance_control": self._control,
            "penalty_factor": self.penalty_factor,
            "d_lr_factor": self.d_lr_factor,
        }

    def state_dict(self) -> dict[str, Any]:
        """The running mean and the control."""
        return {"accuracy": self._accuracy, "control": self._control}
