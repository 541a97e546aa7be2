"""Recipes: functions that look at the data and return one complete config."""

from poise.recipes.recipes import DEFAULT, RECIPES, Recipe
from poise.recipes.resolve import chosen_size, resolve

__all__ = ["DEFAULT", "RECIPES", "Recipe", "chosen_size", "resolve"]
