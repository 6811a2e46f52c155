"""One local server of the zoo and one Chromium for all tests of the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth_build import ZOO
from tests.support.emulator import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request


def missing(reason: str) -> None:
    """Skips the tests of a machine without a browser; CI must have one."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo, and where transformers is installed the random models."""
    work = tmp_path_factory.mktemp("browser")
    shutil.copytree(ZOO, work / "store")
    try:
        from tests.functions import checkpoints
    except ImportError:
        return work / "store"
    checkpoints.put_random(work, work / "store")
    return work / "store"


@pytest.fixture(scope="package")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `hearth serve`, with a slash at its end."""
    with serving(store, tmp_path_factory.mktemp("serve")) as address:
        yield address


@contextmanager
def serving(store: Path, work: Path, **environment: str) -> Iterator[str]:
    """`hearth serve` and its address, while the block lasts; it may write into `work`."""
    port, log = free_port(), work / "log"
    command = [str(Path(sys.executable).with_name("hearth")), "serve", "--store", store.as_uri(), "--port", str(port)]
    environ = {**os.environ, "HEARTH_CACHE_DIR": str(work / "cache"), **environment}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environ) as process:
        address = f"http://127.0.0.1:{port}/"
        try:
            until = time.monotonic() + 120
            while not answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}v2/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="package")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's five digits as a wav file, 16 bits a sample."""
    import soundfile

    samples, rate = soundfile.read(ZOO.parents[1] / "functions/catalog/page/digits.mp3")
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


# Of the package and not of the session: while it lasts, an event loop is set in this thread, which others may not like.
@pytest.fixture(scope="package")
def browser(spoken: Path) -> Iterator[Browser]:
    """Chromium, whose microphone hears the five digits again and again."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (the test extra has it)")
    path = shutil.which("chromium")
    if path is None:
        missing("there is no chromium (apt-get install -y --no-install-recommends chromium)")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={spoken}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )


class Watch:
    """What a page did beside what it showed. A test that provokes a complaint says so in `expected`."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self.expected: list[str] = []
        self.abroad: list[str] = []
        self.address = address
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", lambda request: self.see(request.url))
        page.on("requestfailed", self.fail)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def fail(self, request: Request) -> None:
        # Chromium says this now and then of a stream that it may not store (Cache-Control), though all of it came; that
        # it came, tests see on the page.
        streams = '"stream":true' in (request.post_data or "")
        if not (streams and request.failure == "net::ERR_ABORTED"):
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def see(self, url: str) -> None:
        if not url.startswith((self.address, f"blob:{self.address}", "data:")):
            self.abroad.append(url)

    def check(self) -> None:
        assert self.abroad == []
        unexpected = [each for each in self.complaints if not any(words in each for words in self.expected)]
        assert unexpected == []


@pytest.fixture
def watched(browser: Browser, server: str) -> Iterator[tuple[Page, Watch]]:
    """A fresh page, and what is seen of it; afterwards it must have complained of nothing and asked nobody else."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=server, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    watch = Watch(page, server)
    yield page, watch
    context.close()
    watch.check()


@pytest.fixture
def page(watched: tuple[Page, Watch]) -> Page:
    return watched[0]


@pytest.fixture
def watch(watched: tuple[Page, Watch]) -> Watch:
    return watched[1]


@pytest.fixture
def visit(page: Page) -> Callable[..., None]:
    """Opens a model's bench, with its first example filled in."""

    def go(name: str, task: str = "") -> None:
        page.goto(f"/#model={name}" + (f"&task={task}" if task else ""))
        page.locator(".bench").wait_for()

    return go
