"""`hearth build`."""

from __future__ import annotations

import pytest
import typer

from hearth_build.cli.build import build
from hearth_build.recipe import RecipeError


def test_without_a_name_the_recipes_are_listed() -> None:
    with pytest.raises(typer.BadParameter, match="sentiment-en"):
        build()


def test_a_misspelt_recipe_is_suggested() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean sentiment-en\?"):
        build("sentiment-eng")
