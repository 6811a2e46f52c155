"""The page when answers come late, pages are left, files are replaced, and the browser keeps or allows nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import PageMonitor
from tests.browser.examples import smear
from tests.browser.test_page import enter, run

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Visit = Callable[..., None]

FIRST_PICTURE_WAITS = """() => {
    const decode = HTMLImageElement.prototype.decode;
    const opened = new Promise((resolve) => (window.open_gate = resolve));
    HTMLImageElement.prototype.decode = function () {
        if (!this.alt.includes("first.jpg")) return decode.call(this);
        window.waiting = (window.waiting ?? 0) + 1;
        return opened.then(() => decode.call(this));
    };
}"""
"""Pictures named first.jpg are decoded once `open_gate` is called."""
OPEN_GATE = "async () => { window.open_gate(); await new Promise((resolve) => setTimeout(resolve, 300)); }"
"""Also gives a page that would show something wrong the time to do so."""


def submit(page: Page) -> None:
    """Run the form, also while the button waits for the call before it."""
    page.locator(".input").evaluate("form => form.requestSubmit()")


def choose(page: Page, name: str, data: bytes, kind: str = "image/jpeg") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})
    page.locator(".preview").get_by_role("img", name=name).wait_for()


def hold(page: Page, url: str | re.Pattern[str], method: str) -> list[Route]:
    """The requests of a method to a URL, which wait until the test answers them."""
    held: list[Route] = []
    page.route(url, lambda route: held.append(route) if route.request.method == method else route.fallback())
    return held


def wait_for_requests(page: Page, held: list[Any], count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(held) < count:
        assert time.monotonic() < deadline, f"{len(held)} of {count} requests"
        page.wait_for_timeout(20)


def picture(level: int) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    (smear(0) if level else Image.new("RGB", (64, 64))).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_question_is_not_lost_by_a_reload(page: Page, monitor: PageMonitor) -> None:
    from playwright.sync_api import expect

    monitor.expected = ["failed: "]
    page.add_init_script("""
        const send = window.fetch;
        window.fetch = (url, options) => {
            const isQuestion = String(url).includes("chat/completions");
            if (!isQuestion || sessionStorage.getItem("answered")) return send(url, options);
            window.waiting = true;
            return new Promise(() => {});
        };
    """)
    page.goto("/#model=gpt-shakespeare&task=chat")
    page.get_by_text("Settings").click()
    enter(page, "Maximum tokens", "9")
    page.get_by_label("Message").fill("Who goes there?")
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.waiting")
    page.get_by_label("Message").fill("Answer me!")
    page.evaluate("sessionStorage.setItem('answered', 'yes')")
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("Answer me!")
    expect(page.locator(".chat li")).to_have_count(1)
    assert '"max_tokens":9' in page.get_by_role("tabpanel").inner_text()
    page.get_by_role("button", name="Regenerate").click()
    page.locator(".times").wait_for()
    assert page.locator(".chat li").count() == 2


def test_errors_of_a_chat_are_shown_and_a_part_of_an_answer_is_replaced(page: Page, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource"]
    page.goto("/#model=gpt-shakespeare&task=chat")
    page.get_by_label("Message").fill("Who goes there? " * 200)
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("This model's maximum context length").wait_for()
    page.get_by_role("button", name="New chat").click()

    events = [
        {"choices": [{"delta": {"content": "Half"}}]},
        {"error": {"message": "Out of memory", "type": "server_error"}},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.get_by_label("Message").fill("Who goes there?")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("Out of memory").wait_for()
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Try again").click()
    page.locator(".times").wait_for()
    assert page.locator(".chat li").count() == 2
    assert "Half" not in page.locator(".chat .assistant .content").inner_text()
    assert page.locator(".talk [role=status]").inner_text().startswith("Model: ")


def test_the_page_works_where_storage_is_forbidden(page: Page, visit: Visit) -> None:
    page.add_init_script("""
        for (const name of ["sessionStorage", "localStorage", "indexedDB"])
            Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
    """)
    page.goto("/")
    page.locator(".card").first.wait_for()
    page.locator("#key").evaluate("button => button.click()")
    page.get_by_label("Key", exact=True).fill("secret")
    page.get_by_role("button", name="Use key").click()
    with page.expect_request("**/models/sentiment-en") as request:
        visit("sentiment-en")
    assert request.value.headers["x-api-key"] == "secret"
    run(page)


def test_a_report_that_could_not_be_loaded_is_asked_for_again(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource"]
    page.route("**/card", lambda route: route.fulfill(status=503, json={"error": "not now"}))
    with page.expect_response("**/card"):
        visit("sentiment-en")
    page.unroute("**/card")
    page.get_by_role("link", name="All models").first.click()
    page.locator(".card").first.wait_for()
    visit("sentiment-en")
    page.get_by_text("Report", exact=True).wait_for()
