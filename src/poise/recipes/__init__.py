"""Recipes: functions that look at the data and return one complete config."""

from poise.recipes.auto import Chosen, chosen_by_auto
from poise.recipes.recipes import DEFAULTS, Recipe, default_for, safe_for
from poise.recipes.resolve import as_recipe, chosen_size, resolve
from poise.recipes.table import RECIPES

__all__ = [
    "DEFAULTS",
    "RECIPES",
    "Chosen",
    "Recipe",
    "as_recipe",
    "chosen_by_auto",
    "chosen_size",
    "default_for",
    "resolve",
    "safe_for",
]
