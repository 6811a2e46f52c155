"""Tables are what the code says, links lead somewhere, README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hearth import errors, settings
from hearth.task_table import TASKS
from tests.docs.generated import TABLES
from tests.docs.pages import PAGES, anchors, links, tables
from tests.support import ROOT

README_BYTES = 10_000


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


@pytest.mark.parametrize("page", [page for page in PAGES if tables(page)], ids=name)
def test_generated_tables_are_current(page: Path) -> None:
    for table, rows in tables(page).items():
        assert rows == TABLES[table](), f"{table}: python -m tests.docs writes it anew"


def test_every_generated_table_stands_in_a_page() -> None:
    assert {table for page in PAGES for table in tables(page)} == set(TABLES)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (page.parent / target) if target else page
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(path), f"{link} has no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [link.partition("#")[0] for link in links(page) if "://" not in link]
        todo += [page.parent / target for target in targets if target]
    assert {page.resolve() for page in PAGES} <= reached


def test_readme_and_models_name_every_task() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{task}`" in readme for task in TASKS)


def test_every_setting_has_a_row_and_the_reverse() -> None:
    sources = [path.read_text() for path in (ROOT / "layers/runtime/python/hearth").rglob("*.py")]
    used = {variable for source in sources for variable in re.findall(r'"(HEARTH_[A-Z_]+)"', source)}
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(HEARTH_[A-Z_]+)`", page, re.MULTILINE)) == used
    assert settings.read({}).store == ""


def test_every_error_has_its_status_and_the_reverse() -> None:
    def tree(kind: type[errors.HearthError]) -> list[type[errors.HearthError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]

    known = {(kind.status, kind.code) for kind in tree(errors.HearthError) if kind.__module__ == "hearth.errors"}
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", page, re.MULTILINE)
    assert {(int(status), code) for status, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)} == known
