"""Federations on real data that run by name. Each is one file to read, to copy and to change.

Importing this package reads no data and imports no backend.
"""

from hansa.recipes.german_credit import GERMAN_CREDIT
from hansa.recipes.heart_disease import HEART_DISEASE
from hansa.recipes.process_faults import PROCESS_FAULTS
from hansa.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "heart-disease": HEART_DISEASE,
    "german-credit": GERMAN_CREDIT,
    "process-faults": PROCESS_FAULTS,
}

__all__ = ["RECIPES", "Recipe"]
