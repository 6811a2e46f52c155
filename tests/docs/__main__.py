"""Write the generated tables of all pages, the dashboard and the alert rules anew: `python -m tests.docs`."""

from __future__ import annotations

from tests.docs import monitoring
from tests.docs.generated import TABLES
from tests.docs.pages import PAGES, tables, with_tables

if __name__ == "__main__":
    for page in PAGES:
        if names := tables(page):
            page.write_text(with_tables(page, {name: TABLES[name]() for name in names}), encoding="utf-8")
            print(f"{page}: {', '.join(names)}")
    monitoring.write()
