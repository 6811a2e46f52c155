from __future__ import annotations

import pytest

from hearth_build.recipe import Recipe, RecipeError, load, names


@pytest.mark.parametrize("name", names())
def test_each_recipe_of_ours_is_complete(name: str) -> None:
    recipe = load(name)
    assert isinstance(recipe, Recipe)
    assert (recipe.name, bool(recipe.licence), bool(recipe.description)) == (name, True, True)
    assert recipe.stages or recipe.network or recipe.graphs
    assert len(list(recipe.golden())) > 0
    assert recipe.gate.bytes > 0


def test_a_misspelt_recipe_is_suggested() -> None:
    with pytest.raises(RecipeError, match=r"There is no recipe 'ner-sh'\. Did you mean ner-zh\? The recipes are"):
        load("ner-sh")
    with pytest.raises(RecipeError, match=r"There is no recipe 'x'\. The recipes are deepspeech-digits"):
        load("x")
