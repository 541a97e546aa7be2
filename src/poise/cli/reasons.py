"""Why settings are what they are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poise.config import Config
    from poise.data import Data

__all__ = ["reasons"]


def reasons(data: "Data", config: "Config") -> Iterator[str]:
    """Where the recipe chose settings by the data, which and why, a line each; but for those that were changed."""
    from poise.recipes import RECIPES, chosen_by_auto

    if config.recipe != "auto":
        return
    own = RECIPES["auto"](data)
    for choice in chosen_by_auto(data):
        if getattr(config, choice.setting) == getattr(own, choice.setting):
            yield f"  {choice}"
