"""The page when answers come late, pages are left, files are replaced, and the browser keeps or allows nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import PageMonitor
from tests.browser.examples import PAGE, lengthen, smear
from tests.browser.test_page import enter, run, wait_for_output

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


def test_an_output_that_is_drawn_late_does_not_replace_the_next_one(
    page: Page, visit: Visit, monitor: PageMonitor
) -> None:
    monitor.expected = ["failed: blob:"]
    page.add_init_script(f"({FIRST_PICTURE_WAITS})()")
    visit("yolo-cells")
    choose(page, "first.jpg", picture(1))
    submit(page)
    page.wait_for_function("() => window.waiting === 1")
    choose(page, "second.jpg", picture(0))
    submit(page)
    assert "no objects" in wait_for_output(page)
    page.evaluate(OPEN_GATE)
    assert "no objects" in page.locator(".answer .verdict").inner_text()
    page.get_by_role("link", name="History").click()
    assert page.locator(".history li").count() == 1


def test_a_comparison_that_is_drawn_late_does_not_replace_the_next_one(page: Page, monitor: PageMonitor) -> None:
    monitor.expected = ["failed: blob:"]
    page.add_init_script(f"({FIRST_PICTURE_WAITS})()")
    page.goto("/#compare=yolo-cells&with=yolo-cells@1")
    page.get_by_role("button", name="Run both").wait_for()
    choose(page, "first.jpg", picture(1))
    submit(page)
    page.wait_for_function("() => window.waiting === 2")
    choose(page, "second.jpg", picture(0))
    submit(page)
    page.locator(".difference", has_text="The same output.").wait_for()
    page.evaluate(OPEN_GATE)
    assert page.locator(".sides .verdict").all_inner_texts() == ["no objects", "no objects"]


def test_a_file_that_is_still_read_is_not_replaced_by_the_one_before(page: Page, visit: Visit) -> None:
    page.add_init_script("""
        const read = window.createImageBitmap;
        const opened = new Promise((resolve) => (window.open_gate = resolve));
        window.createImageBitmap = (file) => opened.then(() => read(file));
    """)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    visit("resnet20-cifar10")
    page.locator(".preview").get_by_role("img", name="ship.jpg").wait_for()
    large = picture(1) + bytes(4_000_000)
    page.locator("#file").set_input_files({"name": "large.jpg", "mimeType": "image/jpeg", "buffer": large})
    page.get_by_text("Reading the file…").wait_for()
    submit(page)
    page.get_by_text("Choose a file first.").wait_for()
    page.evaluate("window.open_gate()")
    page.get_by_text(re.compile(r"Sent as large\.jpg, \d+ kB")).wait_for()
    assert sent == []
    run(page)


def test_an_example_that_cannot_be_loaded_says_so(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource", "failed: "]
    page.route("**/ship.jpg", lambda route: route.abort())
    page.goto("/#model=resnet20-cifar10")
    message = page.get_by_text("The example could not be loaded; reload the page.")
    message.wait_for()
    page.get_by_role("tab", name="requests").click()  # there is no call yet
    choose(page, "own.jpg", picture(1))
    page.get_by_role("button", name="A ship").click()
    message.wait_for()
    page.unroute("**/ship.jpg")
    page.get_by_role("button", name="A ship").click()
    assert "ship" in wait_for_output(page)


def test_an_error_of_the_file_before_is_not_that_of_the_next_one(page: Page, visit: Visit) -> None:
    visit("resnet20-cifar10")
    choose(page, "first.jpg", picture(1))
    first = page.locator(".preview img").element_handle()
    choose(page, "second.jpg", picture(0))
    first.evaluate("image => image.dispatchEvent(new Event('error'))")
    assert page.get_by_text("This browser cannot show the file").count() == 0


def test_an_upload_that_is_left_while_it_is_found_continues_at_the_next_visit(
    page: Page, visit: Visit, speech_file: Path, tmp_path: Path, monitor: PageMonitor
) -> None:
    monitor.expected = ["failed: ", "Failed to load resource"]
    asked: list[str] = []

    def wait(route: Route) -> None:
        asked.append(route.request.method)
        route.fulfill(status=202, content_type="application/json", body='{"id": "x", "status": "waiting"}')

    page.route("**/results/**", wait)
    visit("deepspeech-digits")
    page.locator("#file").set_input_files(lengthen(speech_file, tmp_path / "long.wav"))
    page.get_by_text('Path("long.wav")').wait_for()
    submit(page)
    page.get_by_text("The model is working on long.wav").wait_for()
    page.add_init_script("""
        const read = Blob.prototype.arrayBuffer;
        const opened = new Promise((resolve) => (window.open_gate = resolve));
        Blob.prototype.arrayBuffer = function () { window.waiting = true; return opened.then(() => read.call(this)); };
    """)
    page.reload()
    page.wait_for_function("() => window.waiting")
    page.get_by_role("link", name="History").click()
    page.get_by_role("heading", name="History").wait_for()
    asked.clear()
    page.evaluate(OPEN_GATE)
    assert asked == [], "nobody would see the result"
    page.unroute("**/results/**")
    page.go_back()
    assert "four zero seven two nine" in wait_for_output(page)


def test_the_microphone_is_closed_when_the_page_is_left(page: Page, visit: Visit) -> None:
    page.add_init_script("""
        const devices = window.MediaDevices?.prototype; // about:blank has none
        const ask = devices?.getUserMedia;
        window.streams = [];
        if (ask) devices.getUserMedia = async function (wanted) {
            const stream = await ask.call(this, wanted);
            window.streams.push(stream);
            return stream;
        };
    """)
    visit("deepspeech-digits")
    page.locator(".record").evaluate("(button) => { button.click(); button.click(); }")
    page.get_by_role("button", name=re.compile(r"Stop, \d+ s")).wait_for()
    assert page.evaluate("streams.length") == 1
    page.get_by_role("link", name="History").click()
    page.wait_for_function(
        "() => streams.every((one) => one.getTracks().every((track) => track.readyState === 'ended'))"
    )


def test_a_batch_keeps_the_settings_and_the_inputs_that_it_started_with(page: Page, visit: Visit) -> None:
    visit("resnet20-cifar10")
    held = hold(page, re.compile("/models/resnet20-cifar10"), "POST")
    page.get_by_text("Several files at once").click()
    picker = page.locator(".many input[type=file]")
    picker.set_input_files([{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": picture(n)} for n in range(3)])
    page.get_by_role("button", name="Run all").click()
    wait_for_requests(page, held, 2)
    assert picker.is_disabled()
    page.get_by_text("Settings").click()
    page.get_by_label("Labels", exact=True).fill("1")
    held[0].continue_()
    held[1].continue_()
    wait_for_requests(page, held, 3)
    held[2].continue_()
    page.get_by_text("Done: 3 of 3.").wait_for()
    assert [route.request.url for route in held if "top_k" in route.request.url] == []
    assert picker.is_enabled()


def test_texts_that_are_read_late_do_not_replace_the_next_ones(page: Page, visit: Visit) -> None:
    page.add_init_script("""
        const read = Blob.prototype.text;
        const opened = new Promise((resolve) => (window.open_gate = resolve));
        Blob.prototype.text = function () {
            return this.name === "first.txt" ? opened.then(() => read.call(this)) : read.call(this);
        };
    """)
    visit("sentiment-en")
    page.get_by_text("Many texts at once").click()
    picker = page.locator(".many input[type=file]")
    for name, text in (("first.txt", "1\n2\n3"), ("second.txt", "1\n2")):
        picker.set_input_files({"name": name, "mimeType": "text/plain", "buffer": text.encode()})
    page.get_by_text("2 texts").wait_for()
    page.evaluate(OPEN_GATE)
    assert page.get_by_text("2 texts").count() == 1


def test_the_history_has_the_input_and_the_version_of_the_answer(
    page: Page, visit: Visit, monitor: PageMonitor
) -> None:
    monitor.expected = ["Failed to load resource"]
    visit("sentiment-en")
    held = hold(page, re.compile("/models/sentiment-en$"), "POST")
    page.get_by_label("Text", exact=True).fill("A dreadful evening.")
    submit(page)
    wait_for_requests(page, held)
    page.get_by_label("Text", exact=True).fill("A wonderful evening.")
    scores = [[{"label": "negative", "score": 0.9}, {"label": "positive", "score": 0.1}]]
    held[0].fulfill(json=scores, headers={"X-Hearth-Model": "sentiment-en@7"})
    wait_for_output(page)
    with page.expect_request(re.compile("/models/sentiment-en%407$")):  # the answer that it explains
        page.route("**/models/sentiment-en%407", lambda route: route.fulfill(json={}, status=404))
        page.get_by_role("button", name="Explain").click()
    page.get_by_role("link", name="History").click()
    row = page.locator(".history li")
    assert row.locator(".excerpt").inner_text() == "A dreadful evening."
    assert row.get_by_role("link").inner_text() == "sentiment-en@7"


def test_long_inputs_are_opened_from_the_history_but_not_in_links(page: Page, visit: Visit) -> None:
    from playwright.sync_api import expect

    text = "What a fine day. " * 150
    visit("sentiment-en")
    page.evaluate("navigator.clipboard.writeText = async () => {}")
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The input is too long for a link").wait_for()
    run(page)
    page.evaluate("sessionStorage.clear()")
    page.get_by_role("link", name="History").click()
    page.locator(".history li").get_by_role("link").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value(text)


def test_a_reload_of_a_link_keeps_what_was_typed_after_it(page: Page) -> None:
    from playwright.sync_api import expect

    page.goto('/#model=sentiment-en&input={"text":"From a link."}')
    field = page.get_by_label("Text", exact=True)
    expect(field).to_have_value("From a link.")
    field.fill("Changed.")
    page.reload()
    expect(field).to_have_value("Changed.")
    page.goto("/#compare=sentiment-en&with=sentiment-zh")
    page.get_by_role("button", name="Run both").wait_for()
    field.fill("Compared.")
    page.reload()
    expect(field).to_have_value("Compared.")


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


def test_a_list_of_the_key_before_does_not_replace_that_of_the_next_one(page: Page) -> None:
    page.add_init_script("""if (location.protocol === "http:") sessionStorage.setItem("hearth-key", '"first"')""")
    held = hold(page, re.compile("/models$"), "GET")
    page.goto("/")
    wait_for_requests(page, held)
    page.get_by_role("button", name="Key", exact=True).click()
    page.get_by_label("Key", exact=True).fill("second")
    page.get_by_role("button", name="Use key").click()
    wait_for_requests(page, held, 2)
    held[1].continue_()
    page.locator(".card").first.wait_for()
    with page.expect_response(re.compile("/models$")):
        held[0].fulfill(json={"models": []})
    page.goto("/#model=sentiment-en")
    page.locator("#list a").first.wait_for()


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


def test_files_that_are_no_longer_shown_are_freed(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["failed: blob:"]
    page.add_init_script("""
        const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
        window.urls = new Set();
        URL.createObjectURL = (file) => { const url = create.call(URL, file); urls.add(url); return url; };
        URL.revokeObjectURL = (url) => { urls.delete(url); revoke.call(URL, url); };
    """)
    visit("yolo-cells")
    for name in ("first.jpg", "second.jpg"):
        choose(page, name, (PAGE / "cells.jpg").read_bytes())
        run(page)
    assert page.evaluate("urls.size") == 2, "the input and the output"
    page.get_by_role("link", name="History").click()
    page.get_by_role("heading", name="History").wait_for()
    assert page.evaluate("urls.size") == 0
