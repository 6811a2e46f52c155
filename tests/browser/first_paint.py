"""What a first visit to the page transfers, and how long it takes on a slow network; written into first_paint.json.

    python -m tests.browser.first_paint

The network is that of Lighthouse's "slow 4G": 150 ms a round trip, 1.6 Mbit/s down and 750 kbit/s up. The processor is
not slowed down. Of five visits with an empty cache, the fastest counts: what else runs on the machine only delays.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from hearth_build import ZOO
from tests.browser.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RECORDED = Path(__file__).with_suffix(".json")
PAGES = {
    "the catalogue": ("/", ".card"),
    "a text classifier": ("/#model=sentiment-en", ".chip"),
    "an object detector": ("/#model=yolo-cells", ".preview img"),
}
"""Address of a page, and what it shows when it can be used."""
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
VISITS = 5
COUNTS = ("requests", "bytes")
MEASURE = """async () => {
    const paints = performance.getEntriesByType("paint");
    const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return {
        requests: loaded.filter(({ transferSize }) => transferSize > 0).length,
        bytes: loaded.reduce((sum, { transferSize }) => sum + transferSize, 0),
        "first paint": paints.find(({ name }) => name === "first-contentful-paint")?.startTime,
        ready: window.ready,
    };
}"""
WATCH = """(selector) => {
    const look = () => {
        if (document.querySelector(selector)) window.ready ??= performance.now();
        else requestAnimationFrame(look);
    };
    look();
}"""


def visit(browser: Browser, address: str, selector: str, *, slow: bool = False) -> dict[str, Any]:
    """Requests, transferred bytes with headers, and milliseconds until the first paint and until the page is ready."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    if slow:
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    page.add_init_script(f"({WATCH})({json.dumps(selector)})")
    page.goto(address)
    page.wait_for_function("() => window.ready")
    page.wait_for_load_state("networkidle")
    measured: dict[str, Any] = page.evaluate(MEASURE)
    context.close()
    return measured


def main() -> None:
    figures = {}
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright, serving(ZOO, Path(work)) as address:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, selector) in PAGES.items():
            visits = [visit(browser, address.rstrip("/") + path, selector, slow=True) for _ in range(VISITS)]
            figures[name] = {
                key: round(max(one[key] for one in visits) if key in COUNTS else min(one[key] for one in visits))
                for key in visits[0]
            }
            print(name, figures[name])
        browser.close()
    RECORDED.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
