"""The playground in a real browser: for each task its input, output, times, JSON and code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PageMonitor, serving
from tests.browser.examples import PAGE, mp4, smear

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Visit = Callable[..., None]
ZOO_OUTPUTS = {
    ("sentiment-en", ""): r"positive\s*98\.9 %",
    ("sentiment-zh", ""): r"positive\s*9\d",
    ("ner-zh", ""): r"王小明\s*PER.*北京大学\s*ORG",
    ("embeddings-en", ""): r"1\.00\s*0\.6\d",
    ("embeddings-en", "sentence-similarity"): r"Somebody plays an instrument\.\s*0\.6\d",
    ("gpt-shakespeare", ""): r"But soft, what light.*tokens/s",
    ("translate-en-zh", ""): r"I love you\.\s*我爱你。",
    ("resnet20-cifar10", ""): r"ship\s*ship\s*100\.0 %",
    ("yolo-cells", ""): r"7 RBC, 2 Platelets, 1 WBC",
    ("yolo-cells", "object-tracking"): r"1[01] tracks in 30 frames, 10 per second",
    ("deepspeech-digits", ""): r"four zero seven two nine",
}
"""Pattern of the output of the first example, by model and task."""
RANDOM_OUTPUTS = {("masks", ""): r"capital", ("answers", ""): r"Lisbon", ("entails", ""): r"complaint"}
OPENAI_MODELS = ("embeddings-en", "gpt-shakespeare", "deepspeech-digits")
"""Models that OpenAI's client can call."""
WITHOUT_TRITON = ("sentence-similarity", "object-tracking", "answers", "entails")
"""Tasks and models whose request is more than one input."""


def wait_for_output(page: Page) -> str:
    page.locator(".answer[aria-busy=false] .times").wait_for()
    return page.locator(".answer").inner_text()


def run(page: Page) -> str:
    page.locator(".input button[type=submit]").click()
    return wait_for_output(page)


def check_accessibility(page: Page, view: str) -> None:
    """axe finds nothing serious in either theme, and the page fits the width of a phone."""
    from axe_playwright_python.sync_playwright import Axe

    for scheme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        # The page's own choice: this Firefox does not let tests emulate the system's.
        page.evaluate("(scheme) => { document.documentElement.dataset.theme = scheme; }", scheme)
        violations = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
        serious = [
            f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for violation in violations
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        assert serious == [], f"{view}, {scheme}"
    page.set_viewport_size({"width": 360, "height": 780})
    width, visible = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width == visible, view
    page.set_viewport_size({"width": 1280, "height": 900})


def is_firefox(page: Page) -> bool:
    browser = page.context.browser
    assert browser
    return browser.browser_type.name == "firefox"


def enter(page: Page, label: str, value: str) -> None:
    """Type a number into a field; Playwright's `fill` keeps the digits before it in Firefox."""
    field = page.get_by_label(label)
    field.press("Control+A")
    field.press_sequentially(value)


def served_models(server: str) -> set[str]:
    with urllib.request.urlopen(f"{server}models") as response:
        return {model["name"] for model in json.load(response)["models"]}


@pytest.mark.parametrize(("name", "task"), [*ZOO_OUTPUTS, *RANDOM_OUTPUTS])
def test_every_task_runs_its_example(
    page: Page,
    visit: Visit,
    server: str,
    name: str,
    task: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name not in served_models(server):
        pytest.skip("transformers, which builds the random models, is not installed")
    visit(name, task)
    assert page.locator("h1").inner_text() == name
    if name == "masks":  # the example has words and a mask that its small vocabulary lacks
        page.get_by_label("Text with a blank").fill("the capital of berlin is [MASK].")
    page.locator(".input .chip").first.wait_for()
    output = run(page)
    assert re.search({**ZOO_OUTPUTS, **RANDOM_OUTPUTS}[name, task], output, re.S), output
    assert re.search(r"(cold|warm)\s*[\d.]+ m?s in the service", output), output
    assert re.search(r"request [0-9a-f]{32}", output), output
    page.locator(".answer .json summary").click()
    assert page.locator(".answer .json pre").inner_text().strip()[0] in "[{"
    check_accessibility(page, f"{name} {task}")

    for file in PAGE.glob("*.[jm]p[g34]"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    if name == "masks":  # its snippets send the example
        return
    if is_firefox(page):  # the other snippets do not run in the browser
        check_snippets(page, ["fetch"], server)
        return
    clients = ["curl", "requests", "fetch"]
    clients += ["huggingface_hub"] if task != "object-tracking" else []
    clients += ["openai"] if name in OPENAI_MODELS and task == "" else []
    clients += ["tritonclient"] if name not in WITHOUT_TRITON and task not in WITHOUT_TRITON else []
    assert visible_clients(page) == clients
    check_snippets(page, clients, server)


def visible_clients(page: Page) -> list[str]:
    return [tab.inner_text() for tab in page.get_by_role("tab").all() if tab.is_visible()]


def check_snippets(page: Page, clients: list[str], server: str) -> None:
    """Every snippet of the page runs and prints something."""
    for client in clients:
        page.get_by_role("tab", name=client, exact=True).click()
        snippet = page.get_by_role("tabpanel").inner_text()
        assert server.removeprefix("http://").rstrip("/") in snippet
        assert run_in_page(page, snippet) if client == "fetch" else run_snippet(snippet), snippet


def run_in_page(page: Page, snippet: str) -> str:
    """Run a snippet of JavaScript, in which `file` is the file of the form, and return what it logs."""
    file = "null"
    if "file, //" in snippet:
        example = {"Track": "cells.mp4", "Transcribe": "digits.mp3", "Detect": "cells.jpg", "Run": "ship.jpg"}
        verb = page.locator(".input button[type=submit]").inner_text().split()[0]
        file = f"await (await fetch('/page/x/{example[verb]}')).blob()"
    return str(
        page.evaluate(
            f"async () => {{ const file = {file}; const lines = [];"
            f"const console = {{ log: (value) => lines.push(JSON.stringify(value)) }};"
            f"{snippet}\nreturn lines.join(''); }}"
        )
    )


def run_snippet(snippet: str) -> str:
    """Run a snippet of curl or Python and return its output."""
    if snippet.startswith("curl"):
        process = subprocess.run(["sh", "-c", f"{snippet} -sS --fail-with-body"], capture_output=True, text=True)
        assert process.returncode == 0, f"{snippet}\n{process.stdout}{process.stderr}"
        return process.stdout
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(compile(snippet, "snippet", "exec"), {})
    return stdout.getvalue()


def test_the_catalogue_shows_every_model_of_the_service(page: Page, server: str) -> None:
    page.goto("/")
    page.locator(".card").first.wait_for()
    with urllib.request.urlopen(f"{server}models") as response:
        models = json.load(response)["models"]
    for model in models:
        card = page.locator(".card", has=page.get_by_role("link", name=model["name"], exact=True)).inner_text()
        for text in (model["description"], model["licence"], "version", next(iter(model["metrics"]), "size")):
            assert text in card
    check_accessibility(page, "the catalogue")
    page.get_by_role("searchbox").fill("chinese translation")
    assert page.locator(".card:visible h3").all_inner_texts() == ["translate-en-zh"]
    assert page.get_by_text(f"1 of {len(models)} models").is_visible()


def test_the_page_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/")
    page.locator(".card").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "sentiment-en":
            break
    page.keyboard.press("Enter")
    page.locator(".bench").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "sentiment-en"
    assert page.title() == "sentiment-en · Hearth"
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("I hated every minute of it.")
    page.keyboard.press("Control+Enter")
    assert "negative" in wait_for_output(page)
    assert page.locator(".answer > [role=status]").inner_text().startswith("Output: negative")
    curl = page.get_by_role("tab", name="curl")
    curl.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "requests"
    assert "I hated every minute of it." in page.get_by_role("tabpanel").inner_text()


def test_tokens_arrive_one_by_one_and_can_be_stopped(page: Page, visit: Visit) -> None:
    visit("gpt-shakespeare")
    page.evaluate(
        """() => {
            window.moments = [];
            new MutationObserver((changes) => {
                if (changes.some((change) => change.target.className === "written")) moments.push(performance.now());
            }).observe(document.querySelector(".output"), {childList: true, subtree: true});
        }"""
    )
    output = run(page)
    moments = page.evaluate("moments")
    assert len(moments) > 10, "all tokens arrived at once"
    assert re.search(r"tokens\s*96\s*tokens/s\s*\d+\s*first token\s*\d+ ms", output), output
    page.get_by_label("Show the probability of each token").check()
    assert page.locator(".script.sure .written span").count() > 10

    page.get_by_text("Settings").click()
    enter(page, "Maximum tokens", "150")
    # Press it within the page: on a busy machine, a click from the test may be too late.
    page.evaluate(
        """() => new MutationObserver(() => {
            if (document.querySelectorAll(".written span").length > 3)
                [...document.querySelectorAll("button")].find((button) => button.textContent === "Stop").click();
        }).observe(document.querySelector(".output"), {childList: true, subtree: true})"""
    )
    page.locator(".input button[type=submit]").click()
    page.get_by_text("Stopped.").wait_for()
    assert 3 < page.locator(".written span").count() < 150
    assert page.locator(".input button[type=submit]").is_enabled()


@pytest.mark.one_browser
@pytest.mark.parametrize("kind", ["buffered", "json"])
def test_a_buffered_response_is_shown_as_a_whole(page: Page, visit: Visit, kind: str) -> None:
    """A buffered stream as Mangum sends it, and JSON as an older service sends it; the test mocks both responses."""
    details = {"finish_reason": "length", "generated_tokens": 2, "seed": 5, "input_length": 3}
    tokens = [
        {"index": n, "token": {"id": n, "text": t, "logprob": -0.1, "special": False}}
        for n, t in ((1, "AB"), (2, "CD"))
    ]
    events = [
        {**tokens[0], "generated_text": None, "details": None},
        {**tokens[1], "generated_text": "ABCD", "details": details},
    ]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    stream += ": server-timing cold, first;dur=30.00, gap;dur=10.00, total;dur=40.00\n\n"
    headers = {"Server-Timing": "total;dur=40"}
    if kind == "buffered":
        headers |= {"Content-Type": "text/event-stream", "X-Hearth-Stream": "buffered"}
    body = stream if kind == "buffered" else json.dumps([{"generated_text": "ABCD", "details": details}])
    page.route(
        "**/models/gpt-shakespeare",
        lambda route: (
            route.fulfill(status=200, headers=headers, body=body)
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    visit("gpt-shakespeare")
    output = run(page)
    assert "ABCD" in output
    assert "the text arrives all at once" in output
    assert re.search(r"tokens\s*2", output)
    if kind == "buffered":
        assert re.search(r"cold\s*40 ms in the service", output), output


def test_words_are_added_and_subtracted(page: Page, visit: Visit, server: str) -> None:
    if "words" not in served_models(server):
        pytest.skip("transformers, which builds the random models, is not installed")
    visit("words", "analogies")
    assert re.search(r"queen\s*queen\s*0\.96\s*guitar\s*0\.00", run(page))
    check_accessibility(page, "an analogy")
    assert visible_clients(page) == ["curl", "requests", "fetch"]
    check_snippets(page, ["curl", "requests", "fetch"], server)
    page.get_by_label("Words").fill("King −Woman")
    assert run(page).count("man")
    page.get_by_role("tab", name="curl").click()
    assert '"inputs":{"positive":["King"],"negative":["Woman"]}' in page.get_by_role("tabpanel").inner_text()


def test_boxes_are_drawn_at_the_predicted_places(page: Page, visit: Visit, server: str) -> None:
    visit("yolo-cells")
    run(page)
    request = urllib.request.Request(f"{server}models/yolo-cells", (PAGE / "cells.jpg").read_bytes())
    with urllib.request.urlopen(request) as response:
        detections = json.load(response)
    stage = page.locator(".stage").bounding_box()
    boxes = page.locator(".stage .box")
    assert stage
    assert boxes.count() == len(detections) == 10
    scale = stage["width"] / 480
    for number, detection in enumerate(detections):
        drawn = boxes.nth(number).bounding_box()
        assert drawn
        assert drawn["x"] - stage["x"] == pytest.approx(detection["box"]["xmin"] * scale, abs=1.5)
        assert drawn["width"] == pytest.approx((detection["box"]["xmax"] - detection["box"]["xmin"]) * scale, abs=1.5)
        assert drawn["y"] - stage["y"] == pytest.approx(detection["box"]["ymin"] * scale, abs=1.5)
    page.locator(".rows button").nth(3).focus()
    assert "lit" in (boxes.nth(3).get_attribute("class") or "")
    page.get_by_text("Settings").click()
    page.get_by_label("Minimum score").fill("0.9")
    assert "?threshold=0.9" in page.get_by_role("tabpanel").inner_text()
    assert "3 RBC, 2 Platelets" in run(page)


def test_an_uploaded_film_with_contact_sheet_and_annotation(page: Page, visit: Visit) -> None:
    visit("yolo-cells", "object-tracking")
    film = mp4([smear(number * 4) for number in range(4)])
    page.locator("#file").set_input_files({"name": "own.mp4", "mimeType": "video/mp4", "buffer": film})
    page.get_by_text("@own.mp4").wait_for()
    page.get_by_text("Settings").click()
    enter(page, "Analyse every", "1")
    page.get_by_label("Contact sheet").check()
    page.get_by_label("Annotated video").check()
    assert re.search(r"\d+ tracks in 4 frames", run(page))
    page.wait_for_function("() => [...document.querySelectorAll('.stage .box')].some((box) => !box.hidden)")
    assert page.evaluate("document.querySelector('.answer figure img').decode().then(() => true)")
    page.wait_for_function("() => document.querySelector('.answer figure video').readyState > 1")
    page.locator(".rows button").first.click()
    page.wait_for_function("() => document.querySelector('.stage video').paused")


def test_speech_from_a_file_and_from_the_microphone(page: Page, visit: Visit, speech_file: Path) -> None:
    visit("deepspeech-digits")
    page.locator("#file").set_input_files(speech_file)
    page.get_by_text("@spoken.wav").wait_for()
    assert "four zero seven two nine" in run(page)
    assert page.locator(".wave span").count() == page.locator(".word").count() == 5
    page.locator(".word").nth(2).click()
    page.wait_for_function("() => document.querySelector('.answer audio').currentTime > 1.5")
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name=re.compile("Stop, 2 s")).wait_for()
    page.get_by_role("button", name=re.compile("Stop, 2 s")).click()
    page.get_by_text(re.compile(r"Sent as recording\.wav")).wait_for()
    transcript = run(page)
    assert re.search(r"\b(four|zero|seven|two|nine)\b", transcript), transcript


def test_entities_are_marked_after_characters_outside_the_basic_plane(page: Page, visit: Visit, server: str) -> None:
    """Offsets count characters; JavaScript counts UTF-16 code units, two for an emoji."""
    visit("ner-zh")
    text = "😀😀王小明去了上海。"
    page.get_by_label("Text", exact=True).fill(text)
    run(page)
    request = urllib.request.Request(f"{server}models/ner-zh", json.dumps({"inputs": text}).encode())
    with urllib.request.urlopen(request) as response:
        entities = json.load(response)
    tagged = [f"{entity['word']}{entity['entity_group']}" for entity in entities]
    assert "上海LOC" in tagged
    assert [re.sub(r"\s", "", text_content) for text_content in page.locator("mark").all_inner_texts()] == tagged


def test_errors_are_explained(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource", "failed: "]
    visit("sentiment-en")
    page.get_by_label("Text", exact=True).fill("a " * 20_000)
    page.locator(".input button[type=submit]").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert re.search(r"characters.*Send a smaller input.*request [0-9a-f]{32}", alert.inner_text(), re.S)
    check_accessibility(page, "an error")

    page.context.set_offline(True)
    page.get_by_label("Text", exact=True).fill("fine")
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The server does not respond.").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    assert "positive" in wait_for_output(page)

    visit("resnet20-cifar10")
    page.locator("#file").set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.get_by_text("@no.png").wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("Choose a file of another type.").wait_for()

    page.goto("/#model=nobody")
    page.get_by_text("It may have been removed").wait_for()
    page.get_by_role("alert").get_by_role("link", name="All models").click()
    page.locator(".card").first.wait_for()


@pytest.mark.one_browser
def test_a_service_that_requires_a_key(page: Page, monitor: PageMonitor) -> None:
    """API Gateway without the template's answers refuses with its own body; the test mocks that response."""
    monitor.expected = ["Failed to load resource"]
    keys: list[str | None] = []

    def gate(route: Any) -> None:
        keys.append(route.request.headers.get("x-api-key"))
        if keys[-1] == "secret":
            route.continue_()
        else:
            route.fulfill(status=403, content_type="application/json", body='{"message":"Forbidden"}')

    page.route(re.compile(r"/models(/|$)"), gate)
    page.goto("/")
    page.get_by_text("This service requires an API key.").wait_for()
    page.get_by_role("button", name="Enter API key").click()
    page.get_by_label("Key", exact=True).fill("secret")
    check_accessibility(page, "the key")
    page.get_by_role("button", name="Use key").click()
    page.locator(".card").first.wait_for()
    assert keys == [None, "secret"]
    page.get_by_role("link", name="sentiment-en").click()
    page.locator(".bench").wait_for()
    assert "positive" in run(page)
    assert "$HEARTH_KEY" in page.get_by_role("tabpanel").inner_text()
    assert "secret" not in page.locator("body").inner_text()


@pytest.mark.one_browser
def test_the_local_server_with_keys(browser: Browser, store: Path, tmp_path: Path) -> None:
    """An unknown key, a key limited to two models, and too many requests with it."""
    models = ["sentiment-*"]
    entry = {"name": "a", "sha256": hashlib.sha256(b"right").hexdigest(), "models": models, "rate": 0.01, "burst": 12}
    with serving(store, tmp_path, HEARTH_API_KEYS=json.dumps([entry])) as address:
        context = browser.new_context(base_url=address, reduced_motion="reduce")
        page = context.new_page()
        monitor = PageMonitor(page, address)
        monitor.expected = ["Failed to load resource"]
        page.goto("/")
        page.get_by_text("This service requires an API key.").wait_for()
        for key, text in (("wrong", "This API key is not valid."), ("right", "sentiment-en")):
            page.get_by_role("button", name="Enter API key").click()
            page.get_by_label("Key", exact=True).fill(key)
            page.get_by_role("button", name="Use key").click()
            page.get_by_text(text).first.wait_for()
        names = sorted(path.name for path in store.glob("sentiment-*"))
        assert page.locator(".card").count() == len(names) > 1
        page.goto("/#model=ner-zh")
        page.get_by_text("This API key may not use ner-zh").wait_for()
        page.goto("/#model=sentiment-en")
        page.locator(".bench").wait_for()
        assert "positive" in run(page)
        for _ in range(12):
            page.reload()
            page.locator(".bench, .trouble").wait_for()
            if page.get_by_text("Too many requests").count():
                break
        page.get_by_text("Too many requests with this API key").wait_for()
        context.close()
        monitor.check()


BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def test_the_chosen_theme_is_remembered(page: Page) -> None:
    page.goto("/")
    light = page.evaluate(BACKGROUND)
    button = page.get_by_role("button", name=re.compile("Theme"))
    button.click()
    assert page.evaluate(BACKGROUND) == light
    button.click()
    page.get_by_role("button", name="Theme: dark").wait_for()
    dark = page.evaluate(BACKGROUND)
    assert dark != light
    page.reload()
    assert page.evaluate(BACKGROUND) == dark
    button.click()
    page.get_by_role("button", name="Theme: system").wait_for()
    assert page.evaluate(BACKGROUND) == light


@pytest.mark.one_browser  # Firefox does not let tests emulate the theme of the system
def test_the_theme_follows_the_system(page: Page) -> None:
    page.goto("/")
    light = page.evaluate(BACKGROUND)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(BACKGROUND) != light
    page.emulate_media(color_scheme="light")
    assert page.evaluate(BACKGROUND) == light
