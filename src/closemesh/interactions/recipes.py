"""All kinds of close interaction that are made."""

from __future__ import annotations

from closemesh.interactions.recipe import Recipe
from closemesh.interactions.recipes_blows import BLOWS
from closemesh.interactions.recipes_carrying import CARRYING
from closemesh.interactions.recipes_holding import HOLDING

RECIPES: tuple[Recipe, ...] = (*HOLDING, *CARRYING, *BLOWS)
RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}
