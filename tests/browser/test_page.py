"""The playground in a real browser: each task from its input to its answer, its times, its JSON and its code."""

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

from tests.browser.conftest import Watch, serving
from tests.browser.examples import PAGE, mp4, smear

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Visit = Callable[..., None]
ALL = {
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
"""Models and tasks, with what the answer to the first example says."""
RANDOM = {("masks", ""): r"capital", ("answers", ""): r"Lisbon", ("entails", ""): r"complaint"}
CODE = ("curl", "huggingface_hub", "openai")
TALKERS = ("embeddings-en", "gpt-shakespeare", "deepspeech-digits")
"""What OpenAI's client has calls for."""


def answer_of(page: Page) -> str:
    page.locator(".answer[aria-busy=false] .times").wait_for()
    return page.locator(".answer").inner_text()


def run(page: Page) -> str:
    page.locator(".input button[type=submit]").click()
    return answer_of(page)


def sound_for_all(page: Page, where: str) -> None:
    """axe finds nothing serious in either theme, and a telephone's width holds all."""
    from axe_playwright_python.sync_playwright import Axe

    for scheme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
        serious = [
            f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
        assert serious == [], f"{where}, {scheme}"
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") == 360, where
    page.set_viewport_size({"width": 1280, "height": 900})


def served(server: str) -> set[str]:
    with urllib.request.urlopen(f"{server}models") as answer:
        return {model["name"] for model in json.load(answer)["models"]}


@pytest.mark.parametrize(("name", "task"), [*ALL, *RANDOM])
def test_a_task_from_its_example_to_its_answer(
    page: Page,
    visit: Visit,
    server: str,
    name: str,
    task: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name not in served(server):
        pytest.skip("transformers, which makes the random models, is not installed")
    visit(name, task)
    assert page.locator("h1").inner_text() == name
    if name == "masks":  # its vocabulary is small, and its mask is [MASK]
        page.get_by_label("Text with a blank").fill("the capital of berlin is [MASK].")
    page.locator(".input .chip").first.wait_for()
    shown = run(page)
    assert re.search({**ALL, **RANDOM}[name, task], shown, re.S), shown
    assert re.search(r"(cold|warm)\s*[\d.]+ m?s in the service", shown), shown
    assert re.search(r"request [0-9a-f]{32}", shown), shown
    page.locator(".answer .json summary").click()
    assert page.locator(".answer .json pre").inner_text().strip()[0] in "[{"
    sound_for_all(page, f"{name} {task}")

    for file in PAGE.glob("*.[jm]p[g34]"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    if name == "masks":  # the other calls are of the example
        return
    has_openai = name in TALKERS and task == ""
    tabs = page.get_by_role("tab")
    assert [tab.inner_text() for tab in tabs.all() if tab.is_visible()] == list(CODE if has_openai else CODE[:2])
    for tab in tabs.all()[: 3 if has_openai else 2]:
        tab.click()
        words = page.get_by_role("tabpanel").inner_text()
        assert f"{server}v1" in words if tab.inner_text() == "openai" else server in words
        assert perform(words), words


def perform(words: str) -> str:
    """What a snippet prints."""
    if words.startswith("curl"):
        done = subprocess.run(["sh", "-c", f"{words} -sS --fail-with-body"], capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(words, "snippet", "exec"), {})
    return printed.getvalue()


def test_the_catalogue_shows_what_the_service_says(page: Page, server: str) -> None:
    page.goto("/")
    page.locator(".card").first.wait_for()
    with urllib.request.urlopen(f"{server}models") as answer:
        models = json.load(answer)["models"]
    for model in models:
        card = page.locator(".card", has=page.get_by_role("link", name=model["name"], exact=True)).inner_text()
        for words in (model["description"], model["licence"], "version", next(iter(model["metrics"]), "size")):
            assert words in card
    sound_for_all(page, "the catalogue")
    page.get_by_role("searchbox").fill("chinese translation")
    assert page.locator(".card:visible h3").all_inner_texts() == ["translate-en-zh"]
    assert page.get_by_text(f"1 of {len(models)} models").is_visible()


def test_the_keyboard_alone_reaches_an_answer(page: Page) -> None:
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
    assert "negative" in answer_of(page)
    assert page.locator(".answer [role=status]").inner_text().startswith("Output: negative")
    curl = page.get_by_role("tab", name="curl")
    curl.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "huggingface_hub"
    assert "I hated every minute of it." in page.get_by_role("tabpanel").inner_text()


def test_tokens_arrive_one_by_one_and_can_be_stopped(page: Page, visit: Visit) -> None:
    visit("gpt-shakespeare")
    page.evaluate(
        """() => {
            window.moments = [];
            new MutationObserver((changes) => {
                if (changes.some((each) => each.target.className === "written")) moments.push(performance.now());
            }).observe(document.querySelector(".output"), {childList: true, subtree: true});
        }"""
    )
    shown = run(page)
    moments = page.evaluate("moments")
    assert len(moments) > 10, "the tokens came in one piece"
    assert moments[-1] - moments[0] > 50
    assert re.search(r"tokens\s*96\s*tokens/s\s*\d+\s*first token\s*\d+ ms", shown), shown
    page.get_by_label("Show the probability of each token").check()
    assert page.locator(".script.sure .written span").count() > 10

    page.get_by_text("Settings").click()
    page.get_by_label("Maximum tokens").fill("150")
    # Within the page: a busy machine may be too late to press it from here.
    page.evaluate(
        """() => new MutationObserver(() => {
            if (document.querySelectorAll(".written span").length > 3)
                [...document.querySelectorAll("button")].find((each) => each.textContent === "Stop").click();
        }).observe(document.querySelector(".output"), {childList: true, subtree: true})"""
    )
    page.locator(".input button[type=submit]").click()
    page.get_by_text("Stopped.").wait_for()
    assert 3 < page.locator(".written span").count() < 150
    assert page.locator(".input button[type=submit]").is_enabled()


@pytest.mark.parametrize("whole", ["buffered", "json"])
def test_an_answer_that_comes_whole_is_shown_whole(page: Page, visit: Visit, whole: str) -> None:
    """As Mangum's buffered stream and as an older service's JSON; the answers are of the test's own."""
    details = {"finish_reason": "length", "generated_tokens": 2, "seed": 5, "input_length": 3}
    parts = [
        {"index": n, "token": {"id": n, "text": t, "logprob": -0.1, "special": False}}
        for n, t in ((1, "AB"), (2, "CD"))
    ]
    events = [
        {**parts[0], "generated_text": None, "details": None},
        {**parts[1], "generated_text": "ABCD", "details": details},
    ]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    stream += ": server-timing cold, first;dur=30.00, gap;dur=10.00, total;dur=40.00\n\n"
    headers = {"Server-Timing": "total;dur=40"}
    if whole == "buffered":
        headers |= {"Content-Type": "text/event-stream", "X-Hearth-Stream": "buffered"}
    body = stream if whole == "buffered" else json.dumps([{"generated_text": "ABCD", "details": details}])
    page.route(
        "**/models/gpt-shakespeare",
        lambda route: (
            route.fulfill(status=200, headers=headers, body=body)
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    visit("gpt-shakespeare")
    shown = run(page)
    assert "ABCD" in shown
    assert "the text arrives all at once" in shown
    assert re.search(r"tokens\s*2", shown)
    if whole == "buffered":
        assert re.search(r"cold\s*40 ms in the service", shown), shown


def test_boxes_lie_where_the_answer_says(page: Page, visit: Visit, server: str) -> None:
    visit("yolo-cells")
    run(page)
    request = urllib.request.Request(f"{server}models/yolo-cells", (PAGE / "cells.jpg").read_bytes())
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)
    stage = page.locator(".stage").bounding_box()
    boxes = page.locator(".stage .box")
    assert stage
    assert boxes.count() == len(found) == 10
    scale = stage["width"] / 480
    for number, each in enumerate(found):
        seen = boxes.nth(number).bounding_box()
        assert seen
        assert seen["x"] - stage["x"] == pytest.approx(each["box"]["xmin"] * scale, abs=1.5)
        assert seen["width"] == pytest.approx((each["box"]["xmax"] - each["box"]["xmin"]) * scale, abs=1.5)
        assert seen["y"] - stage["y"] == pytest.approx(each["box"]["ymin"] * scale, abs=1.5)
    page.locator(".rows button").nth(3).focus()
    assert "lit" in (boxes.nth(3).get_attribute("class") or "")
    page.get_by_text("Settings").click()
    page.get_by_label("Minimum score").fill("0.9")
    assert "?threshold=0.9" in page.get_by_role("tabpanel").inner_text()
    assert "3 RBC, 2 Platelets" in run(page)


def test_a_film_of_ones_own_with_sheet_and_drawing(page: Page, visit: Visit) -> None:
    visit("yolo-cells", "object-tracking")
    film = mp4([smear(number * 4) for number in range(4)])
    page.locator("input[type=file]").set_input_files({"name": "own.mp4", "mimeType": "video/mp4", "buffer": film})
    page.get_by_text("@own.mp4").wait_for()
    page.get_by_text("Settings").click()
    page.get_by_label("Analyse every").fill("1")
    page.get_by_label("Contact sheet").check()
    page.get_by_label("Annotated video").check()
    assert re.search(r"\d+ tracks in 4 frames", run(page))
    page.wait_for_function("[...document.querySelectorAll('.stage .box')].some((box) => !box.hidden)")
    assert page.evaluate("document.querySelector('.answer figure img').decode().then(() => true)")
    page.wait_for_function("document.querySelector('.answer figure video').readyState > 1")
    page.locator(".rows button").first.click()
    page.wait_for_function("document.querySelector('.stage video').paused")


def test_speech_from_a_file_and_from_the_microphone(page: Page, visit: Visit, spoken: Path) -> None:
    visit("deepspeech-digits")
    page.locator("input[type=file]").set_input_files(spoken)
    page.get_by_text("@spoken.wav").wait_for()
    assert "four zero seven two nine" in run(page)
    assert page.locator(".wave span").count() == page.locator(".word").count() == 5
    page.locator(".word").nth(2).click()
    page.wait_for_function("document.querySelector('.answer audio').currentTime > 1.5")
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name=re.compile("Stop, 2 s")).wait_for()
    page.get_by_role("button", name=re.compile("Stop, 2 s")).click()
    page.get_by_text(re.compile(r"Sent as recording\.wav")).wait_for()
    heard = run(page)
    assert re.search(r"\b(four|zero|seven|two|nine)\b", heard), heard


def test_entities_after_letters_outside_the_first_plane(page: Page, visit: Visit, server: str) -> None:
    """Offsets count characters, of which JavaScript may see two."""
    visit("ner-zh")
    text = "😀😀王小明去了上海。"
    page.get_by_label("Text", exact=True).fill(text)
    run(page)
    request = urllib.request.Request(f"{server}models/ner-zh", json.dumps({"inputs": text}).encode())
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)
    tagged = [f"{entity['word']}{entity['entity_group']}" for entity in found]
    assert "上海LOC" in tagged
    assert [re.sub(r"\s", "", words) for words in page.locator("mark").all_inner_texts()] == tagged


def test_what_goes_wrong_is_said_in_words(page: Page, visit: Visit, watch: Watch) -> None:
    watch.expected = ["Failed to load resource", "failed: "]
    visit("sentiment-en")
    page.get_by_label("Text", exact=True).fill("a " * 20_000)
    page.locator(".input button[type=submit]").click()
    trouble = page.get_by_role("alert")
    trouble.wait_for()
    assert re.search(r"characters.*Send a smaller input.*request [0-9a-f]{32}", trouble.inner_text(), re.S)
    sound_for_all(page, "an error")

    page.context.set_offline(True)
    page.get_by_label("Text", exact=True).fill("fine")
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The server does not respond.").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    assert "positive" in answer_of(page)

    visit("resnet20-cifar10")
    page.locator("input[type=file]").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.get_by_text("@no.png").wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("Choose a file of another type.").wait_for()

    page.goto("/#model=nobody")
    page.get_by_text("It may have been removed").wait_for()
    page.get_by_role("alert").get_by_role("link", name="All models").click()
    page.locator(".card").first.wait_for()


def test_a_service_behind_a_key(page: Page, watch: Watch) -> None:
    """API Gateway refuses in its own words; the answers here are the test's."""
    watch.expected = ["Failed to load resource"]
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
    sound_for_all(page, "the key")
    page.get_by_role("button", name="Use key").click()
    page.locator(".card").first.wait_for()
    assert keys == [None, "secret"]
    page.get_by_role("link", name="sentiment-en").click()
    page.locator(".bench").wait_for()
    assert "positive" in run(page)
    assert "$HEARTH_KEY" in page.get_by_role("tabpanel").inner_text()
    assert "secret" not in page.locator("body").inner_text()


def test_the_local_server_with_keys(browser: Browser, store: Path, tmp_path: Path) -> None:
    """A key that is unknown, one that may ask for two models, and one too often."""
    models = ["sentiment-*"]
    entry = {"name": "a", "sha256": hashlib.sha256(b"right").hexdigest(), "models": models, "rate": 0.01, "burst": 8}
    with serving(store, tmp_path, HEARTH_API_KEYS=json.dumps([entry])) as address:
        context = browser.new_context(base_url=address, reduced_motion="reduce")
        page = context.new_page()
        watch = Watch(page, address)
        watch.expected = ["Failed to load resource"]
        page.goto("/")
        page.get_by_text("This service requires an API key.").wait_for()
        for key, words in (("wrong", "This API key is not valid."), ("right", "sentiment-en")):
            page.get_by_role("button", name="Enter API key").click()
            page.get_by_label("Key", exact=True).fill(key)
            page.get_by_role("button", name="Use key").click()
            page.get_by_text(words).first.wait_for()
        names = sorted(path.name for path in store.glob("sentiment-*"))
        assert page.locator(".card").count() == len(names) > 1
        page.goto("/#model=ner-zh")
        page.get_by_text("This API key may not ask for ner-zh").wait_for()
        page.goto("/#model=sentiment-en")
        page.locator(".bench").wait_for()
        assert "positive" in run(page)
        for _ in range(8):
            page.reload()
            page.locator(".bench, .trouble").wait_for()
            if page.get_by_text("Too many requests").count():
                break
        page.get_by_text("This API key asks too often").wait_for()
        context.close()
        watch.check()


def test_the_theme_can_be_chosen_and_is_kept(page: Page) -> None:
    page.goto("/")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    button = page.get_by_role("button", name=re.compile("Theme"))
    button.click()
    button.click()
    page.get_by_role("button", name="Theme: dark").wait_for()
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    assert page.evaluate(colour) == dark
    button.click()
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colour) == light
