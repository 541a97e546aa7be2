"""A recipe in the making."""

from dataclasses import dataclass, field
from typing import Any

from poise.recipes.hypergan.fields import Notes
from poise.recipes.hypergan.layers import Layers

__all__ = ["Draft", "Network"]

Network = Layers | dict[str, Any] | None
"""A network's layers, a preset with its options, or nothing."""


@dataclass
class Draft:
    """What the file has said so far.

    Attributes:
        notes: what of it has no meaning here.
        origin: what the file is called, for messages.
        settings: settings of a recipe by their names, but for those that need a look at several components.
        generator: the generator.
        discriminator: the discriminator.
        encoder: the encoder of the warm-up.
        z: the entries of a latent.
        side: the side of the images.
        channels: the channels of the images.
        wraps: wrappers around both optimizers, the innermost first.
    """

    notes: Notes
    origin: str
    settings: dict[str, Any] = field(default_factory=dict)
    generator: Network = None
    discriminator: Network = None
    encoder: Layers | None = None
    z: int | None = None
    side: int | None = None
    channels: int | None = None
    wraps: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, name: str, to: str, **options: Any) -> None:
        """Add a penalty or constraint, under a name that is not taken.

        Args:
            kind: ``penalties`` or ``constraints``.
            name: its class.
            to: the player that it goes to, ``D`` or ``G``.
            **options: its other settings.
        """
        parts: dict[str, Any] = self.settings.setdefault(kind, {})
        base = name if to == "D" else f"g_{name}"
        free = next(it for it in (base, *(f"{base}_{n}" for n in range(2, len(parts) + 3))) if it not in parts)
        parts[free] = ({} if free == name else {"class": name}) | options | ({} if to == "D" else {"to": to})
