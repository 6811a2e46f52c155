"""Make the pictures of the documents: `python -m tests.docs.screenshots`; it needs chromium and the test extra."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from hearth_build import ZOO
from tests.browser.conftest import serving
from tests.support import ROOT

IMAGES = ROOT / "docs/images"
COMMANDS = (
    "hearth models",
    "hearth predict sentiment-en 'I like this film very much.'",
    "hearth predict translate-en-de 'Two children play in the snow with a dog.'",
)
TERMINAL = """<body style="margin:0;background:#1b1d23;color:#e6e6e6">
<pre style="margin:0;padding:20px 24px;display:inline-block;font:14px/1.4 monospace">{}</pre></body>"""


def page(browser: Browser, address: str) -> None:
    """A detector's page after its example was asked."""
    opened = browser.new_page(viewport={"width": 1180, "height": 760}, device_scale_factor=1)
    opened.goto(f"{address}#model=yolo-cells")
    opened.locator(".input button[type=submit]").click()
    opened.locator(".answer[aria-busy=false] .times").wait_for()
    opened.evaluate("scrollTo(0, 0)")
    opened.screenshot(path=IMAGES / "page.png")


def explanation(browser: Browser, address: str) -> None:
    """A text with what made its score."""
    opened = browser.new_page(viewport={"width": 1180, "height": 700}, device_scale_factor=1)
    opened.goto(f"{address}#model=sentiment-en")
    opened.get_by_label("Text", exact=True).fill("The plot is dull, but the music is lovely and the end is a surprise.")
    opened.locator(".input button[type=submit]").click()
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_role("heading", name="Why").wait_for()
    opened.evaluate("scrollTo(0, 0)")
    opened.screenshot(path=IMAGES / "explain.png")


def terminal(browser: Browser, work: Path) -> None:
    """The commands with their output."""
    text = ""
    for line in COMMANDS:
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(work), "COLUMNS": "86"}
        run = subprocess.run(
            ["bash", "-c", line + (" --no-json" if "predict" in line else "")],  # as a terminal prints it
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text += f'<b style="color:#ff9d4d">$</b> {html.escape(line)}\n{html.escape(run.stdout)}\n'
    opened = browser.new_page(viewport={"width": 800, "height": 400}, device_scale_factor=1)
    opened.set_content(TERMINAL.format(text.rstrip()))
    opened.locator("pre").screenshot(path=IMAGES / "terminal.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        terminal(browser, Path(work))
        with serving(ZOO, Path(work)) as address:
            page(browser, address)
            explanation(browser, address)


if __name__ == "__main__":
    main()
