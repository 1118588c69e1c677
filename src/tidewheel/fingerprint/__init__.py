"""A fingerprint is everything a function depends on, as named components of a recipe.

The walk starts at the live function and follows what it can reach: code of the project by its normalised syntax, constants
by their value, libraries by their version, environment variables that the code names. What only shows while it runs (files,
listings) is recorded then, and verified before a kept result is used. What cannot be followed is found by the lint.
"""

from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import ALGORITHM, Component, Recipe

__all__ = ["ALGORITHM", "Component", "Read", "Recipe"]
