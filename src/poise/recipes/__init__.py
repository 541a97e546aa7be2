"""Recipes: functions that look at the data and return one complete config."""

from poise.recipes.recipes import DEFAULTS, RECIPES, Recipe, default_for
from poise.recipes.resolve import as_recipe, chosen_size, resolve

__all__ = ["DEFAULTS", "RECIPES", "Recipe", "as_recipe", "chosen_size", "default_for", "resolve"]
