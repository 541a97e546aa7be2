"""Hooks: code that is called between steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poise.trainer.trainer import Trainer

__all__ = ["Hook"]


class Hook:
    """Called between steps by :meth:`~poise.trainer.Trainer.fit`, in the order given.

    A hook observes; it changes no weight. Override what is needed. To end training after the current step, call
    ``trainer.stop(reason)``.
    """

    def start(self, trainer: Trainer) -> None:
        """Before the first step of this ``fit``; ``trainer.steps`` is above 0 when it resumes."""

    def after_step(self, trainer: Trainer) -> None:
        """After every step, ``trainer.steps`` counting it."""

    def end(self, trainer: Trainer) -> None:
        """After the last step of this ``fit``, unless an error ended it."""
