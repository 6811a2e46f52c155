"""The page stays as small as `first_paint.json` has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.first_paint import PAGES, RECORDED, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SLACK = 1.03
"""Times and names in the headers and the JSON of the service differ from run to run."""


@pytest.mark.one_browser
@pytest.mark.parametrize("name", PAGES)
def test_a_first_visit_transfers_no_more_than_recorded(browser: Browser, zoo_server: str, name: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
    path, selector = PAGES[name]
    measured = visit(browser, zoo_server.rstrip("/") + path, selector)
    message = f"{measured}; python -m tests.browser.first_paint records it anew if it is meant"
    assert measured["requests"] <= recorded["requests"], message
    assert measured["bytes"] <= recorded["bytes"] * SLACK, message
    assert measured["first paint"] > 0  # a frame later than the page is ready where both are fast
