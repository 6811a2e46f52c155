from __future__ import annotations

from pathlib import Path

import pytest

from hearth.errors import NotFound
from hearth.storage.open import open_store
from hearth.task_table import TASKS
from hearth_build.release.aliases import set_alias
from hearth_build.release.served import manifest_of, tasks_of
from tests.support.artifacts import make_text_artifact


def test_the_manifest_is_that_of_the_version_that_a_name_refers_to(tmp_path: Path) -> None:
    for version in "12":
        make_text_artifact(tmp_path, "toy", version)
    store = open_store(tmp_path.as_uri())
    set_alias(store, "toy", "prod", "2")
    assert manifest_of(store, "toy").version == "2"
    assert manifest_of(store, "toy@1").version == "1"
    with pytest.raises(NotFound):
        manifest_of(store, "other")


@pytest.mark.parametrize("task", TASKS)
def test_the_function_of_a_task_has_the_task(task: str) -> None:
    assert task in {item.id for item in tasks_of(task)}
