"""One local server of the zoo, shared by all tests of the page, which run in Chromium and in Firefox."""

from __future__ import annotations

import os
import re
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
from tests.browser.driver import driver, program_or_skip
from tests.support.emulator import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request

BROWSERS = {"chromium": "chromium", "firefox": "firefox-esr"}
"""Debian's packages of the browsers, and the programs that they install."""


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo and, if transformers is installed, the models with random weights."""
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
    """The address of `hearth serve`, ending in a slash."""
    with serving(store, tmp_path_factory.mktemp("serve")) as address:
        yield address


@pytest.fixture(scope="package")
def zoo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the zoo alone, ending in a slash."""
    with serving(ZOO, tmp_path_factory.mktemp("zoo")) as address:
        yield address


@contextmanager
def serving(store: Path, work: Path, **environment: str) -> Iterator[str]:
    """Run `hearth serve` within the block and yield its address; it writes into `work`."""
    port, log = free_port(), work / "log"
    command = [str(Path(sys.executable).with_name("hearth")), "serve", "--store", store.as_uri(), "--port", str(port)]
    environ = {**os.environ, "HEARTH_CACHE_DIR": str(work / "cache"), **environment}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environ) as process:
        address = f"http://127.0.0.1:{port}/"
        try:
            deadline = time.monotonic() + 120
            while not is_live(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def is_live(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}v2/health/live", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="package")
def speech_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's five spoken digits as a WAV file, 16 bits per sample."""
    import soundfile

    samples, rate = soundfile.read(ZOO.parents[1] / "functions/catalog/page/digits.mp3")
    path = tmp_path_factory.mktemp("speech") / "spoken.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that use a browser run in each; those marked `one_browser` in Chromium alone."""
    if "browser" in metafunc.fixturenames:
        is_alone = metafunc.definition.get_closest_marker("one_browser")
        metafunc.parametrize("browser", ["chromium"] if is_alone else list(BROWSERS), indirect=True, scope="package")


# Package scope, not session: Playwright sets an event loop in this thread, which can disturb other tests.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with driver() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which browsers save files."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="package")
def browser(
    request: pytest.FixtureRequest, playwright: Playwright, speech_file: Path, downloads: Path
) -> Iterator[Browser]:
    """One of `BROWSERS`, with a fake microphone: Chromium's plays the five digits in a loop, Firefox's a tone."""
    path = program_or_skip(BROWSERS[request.param])
    if request.param == "firefox":
        # The channel makes Playwright speak WebDriver BiDi, as Firefox itself does, not the protocol of its own build.
        browser = playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=path,
            downloads_path=downloads,
            firefox_user_prefs={
                "media.navigator.permission.disabled": True,
                "media.navigator.streams.fake": True,
                "media.autoplay.default": 0,
                "browser.sessionhistory.max_total_viewers": 0,  # Playwright waits for pages from the cache in vain
                "ui.prefersReducedMotion": 1,
            },
        )
    else:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={speech_file}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
    yield browser
    browser.close()


class PageMonitor:
    """Collects a page's errors, warnings and requests to other hosts. Tests list the errors they provoke in
    `expected`."""

    def __init__(self, page: Page, address: str) -> None:
        self.errors: list[str] = []
        self.expected: list[str] = []
        self.foreign_requests: list[str] = []
        self.address = address
        page.on("console", self.on_console)
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("request", lambda request: self.on_request(request.url))
        page.on("requestfailed", self.on_request_failed)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def on_request_failed(self, request: Request) -> None:
        # Chromium sometimes reports this for a complete stream that it may not store (Cache-Control). The tests check
        # on the page that the stream was complete.
        streams = '"stream":true' in (request.post_data or "")
        # A page that is left or reloaded does not wait for what it reads.
        # Firefox's requests come without their bodies, so that those of its streams are not told apart.
        is_aborted = request.failure == "NS_BINDING_ABORTED" or (
            (streams or request.method == "GET") and request.failure == "net::ERR_ABORTED"
        )
        if not is_aborted:
            self.errors.append(f"failed: {request.url} {request.failure}")

    def on_request(self, url: str) -> None:
        if not url.startswith((self.address, f"blob:{self.address}", "data:")):
            self.foreign_requests.append(url)

    def check(self) -> None:
        assert self.foreign_requests == []
        unexpected = [error for error in self.errors if not any(text in error for text in self.expected)]
        assert unexpected == []


@pytest.fixture
def monitored_page(browser: Browser, server: str) -> Iterator[tuple[Page, PageMonitor]]:
    """A fresh page with its monitor; at the end, it must have no unexpected errors and no requests to other hosts."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=server, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    monitor = PageMonitor(page, server)
    yield page, monitor
    context.close()
    monitor.check()


@pytest.fixture
def page(monitored_page: tuple[Page, PageMonitor]) -> Page:
    return monitored_page[0]


@pytest.fixture
def monitor(monitored_page: tuple[Page, PageMonitor]) -> PageMonitor:
    return monitored_page[1]


@pytest.fixture
def visit(page: Page) -> Callable[..., None]:
    """A function that opens a model's bench with its first example filled in."""

    def open_model(name: str, task: str = "") -> None:
        page.goto(f"/#model={name}" + (f"&task={task}" if task else ""))
        # The bench of the model before it may still be there; the code of the call names the model.
        page.locator("main", has_text=re.compile(rf"/{re.escape(name)}[?']")).wait_for()

    return open_model
