"""What outputs, tables, comparisons, settings and snippets show of unusual inputs."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PageMonitor
from tests.browser.examples import PAGE, lengthen, smear
from tests.browser.test_page import check_snippets, run, run_snippet
from tests.support.artifacts import make_table_artifact

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Visit = Callable[..., None]


def test_predictions_and_explanations_are_those_of_their_rows(page: Page, visit: Visit, store: Path) -> None:
    make_table_artifact(store, model="rooms", columns=dict.fromkeys(("age", "hours", "rooms"), (1.0, 2.0, 3.0)))
    try:
        visit("rooms")
        page.get_by_role("textbox", name="Table").fill('age;hours;rooms\n2;2;2\n\n"9";4;2\n')
        run(page)
        rows = [row.split("\t") for row in page.locator(".answer table.list tr").all_inner_texts()]
        assert [row[:3] for row in rows] == [["age", "hours", "rooms"], ["2", "2", "2"], ["9", "4", "2"]]
        page.get_by_label("Row to explain").select_option("1")
        page.get_by_role("button", name="Explain").click()
        first = page.locator(".causes li").first
        first.wait_for()
        assert first.inner_text().split()[:3] == ["age", "=", "9"]
        page.get_by_label("Row to explain").select_option("0")
        assert page.locator(".causes").count() == 0, "those of another row"
    finally:
        shutil.rmtree(store / "rooms")


def test_a_picture_that_the_browser_cannot_show_has_its_objects(page: Page, visit: Visit) -> None:
    tiff = io.BytesIO()
    smear(0).save(tiff, "TIFF")
    visit("yolo-cells")
    page.locator("#file").set_input_files({"name": "cells.tif", "mimeType": "image/tiff", "buffer": tiff.getvalue()})
    page.get_by_text("@cells.tif").wait_for()
    output = run(page)
    assert "This browser cannot show this picture" in output
    assert "RBC" in page.locator(".answer .verdict").inner_text()
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("alert").get_by_text("Choose a file of another type.").wait_for()


def test_the_same_boxes_are_the_same_output(page: Page) -> None:
    page.goto("/#compare=yolo-cells&with=yolo-cells@1")
    page.get_by_role("button", name="Run both").click()
    page.locator(".difference", has_text="The same output.").wait_for()


def test_the_probabilities_of_each_compared_text_are_shown_by_its_own_box(page: Page) -> None:
    page.goto('/#compare=gpt-shakespeare&with=gpt-shakespeare@2&settings={"max_new_tokens":"3"}')
    page.get_by_role("button", name="Run both").click()
    page.locator(".sides .times").nth(1).wait_for()
    page.get_by_text("Show the probability of each token").nth(1).click()
    assert page.locator(".script").nth(1).evaluate("text => text.classList.contains('sure')")
    assert not page.locator(".script").nth(0).evaluate("text => text.classList.contains('sure')")


def test_a_wrong_setting_is_pointed_at_in_folded_settings(page: Page) -> None:
    page.goto('/#model=resnet20-cifar10&settings={"top_k":"0"}')
    page.get_by_text("?top_k=0").wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_label("Labels", exact=True).wait_for()
    assert page.evaluate("document.activeElement.value") == "0"


@pytest.mark.one_browser
def test_errors_of_numbers_are_better_lower(page: Page) -> None:
    def manifest(route: Route) -> None:
        document = route.fetch().json()
        document["metrics"] |= {"metric": "MAE", "served": {"MAE": 3.2, "RMSE": 4.1, "R2": 0.5}}
        route.fulfill(json=document)

    page.route("**/models/sentiment-en", manifest)
    page.goto("/#model=sentiment-en")
    assert page.locator(".facts div").first.get_attribute("title") == "lower is better"


@pytest.mark.one_browser
def test_a_translation_has_the_language_that_was_chosen(page: Page) -> None:
    def answer(route: Route) -> None:
        if route.request.method == "POST":
            return route.fulfill(json=[{"translation_text": "Bonjour"}])
        document: dict[str, Any] = route.fetch().json()
        document["head"]["target"] = ["de", "fr"]
        return route.fulfill(json=document)

    page.route("**/models/translate-en-de", answer)
    page.goto("/#model=translate-en-de")
    page.get_by_text("Settings").click()
    page.get_by_label("Target language").select_option("fr")
    run(page)
    assert page.locator(".target").get_attribute("lang") == "fr"


@pytest.mark.one_browser
def test_lines_to_fill_in_are_no_blanks(page: Page, visit: Visit, server: str) -> None:
    def answer(route: Route) -> None:
        if route.request.method == "POST":
            return route.fulfill(json=[{"token_str": "Paris", "score": 0.9, "token": 1, "sequence": ""}])
        document: dict[str, Any] = route.fetch().json()
        document["task"] = "fill-mask"
        return route.fulfill(json=document)

    page.route("**/models/sentiment-en", answer)
    page.goto("/#model=sentiment-en")
    page.get_by_label("Text with a blank").fill("Name: ____. The capital is [MASK].")
    run(page)
    assert page.locator(".answer .reading").inner_text() == "Name: ____. The capital is Paris."


@pytest.mark.one_browser
def test_snippets_send_switches_and_versions(
    page: Page, visit: Visit, server: str, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PAGE)
    visit("yolo-cells", "object-tracking")
    page.get_by_text("@cells.mp4").wait_for()
    page.get_by_text("Settings").click()
    page.get_by_label("Contact sheet").check()
    check_snippets(page, ["requests"], server)
    monkeypatch.chdir(tmp_path)
    page.goto("/#model=deepspeech-digits@2")
    page.get_by_role("heading", name="deepspeech-digits@2").wait_for()
    page.locator("#file").set_input_files(lengthen(speech_file, tmp_path / "long.wav"))
    page.get_by_text('Path("long.wav")').wait_for()
    snippet = page.get_by_role("tabpanel").inner_text()
    assert "deepspeech-digits%402" in snippet
    assert "four zero seven two nine" in run_snippet(snippet)


@pytest.mark.one_browser
def test_a_file_that_is_too_large_to_upload_is_not_read(page: Page, visit: Visit, tmp_path: Path) -> None:
    visit("deepspeech-digits")
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(60_000_000)
    page.locator("#file").set_input_files(tmp_path / "huge.wav")
    page.get_by_text('Path("huge.wav")').wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The file has 60.0 MB; at most 50.3 MB can be uploaded.").wait_for()


def test_tables_and_lists_of_texts_are_read_as_they_are_written(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    visit("sentiment-en")
    page.get_by_text("Many texts at once").click()
    picker = page.locator(".many input[type=file]")
    for name, data, message in (
        ("quoted.csv", b'"id;no;sign",text\n1,"A, b"\n', "1 texts; the first line has the names id;no;sign, text"),
        ("open.csv", b'id,text\n1,good\n2,"bad\n3,fine\n', "A quotation mark in line 3 is not closed."),
        (
            "excel.csv",
            "id;text\n1;schön\n".encode("cp1252"),
            'excel.csv is not in UTF-8; in Excel, save it as "CSV UTF-8".',
        ),
        ("numbers.jsonl", b'{"text": 1}\n\n{"text": 2}\n', "2 texts"),
        ("broken.jsonl", b'"a"\n\n{\n', "Line 3 of broken.jsonl is not JSON."),
    ):
        picker.set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})
        page.get_by_text(re.compile(f"^{re.escape(message)}$")).wait_for()


def test_the_times_of_a_batch_have_no_pauses(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource"]
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if route.request.method == "POST" and not refused:
            refused.append(route.request.url)
            return route.fulfill(status=503, json={"error": "not now"}, headers={"Retry-After": "1000"})
        return route.fallback()

    page.route("**/models/sentiment-en", refuse_once)
    visit("sentiment-en")
    page.evaluate("""() => {
        let now = 0;
        performance.now = () => now;
        window.setTimeout = (act, milliseconds) => { now += milliseconds; queueMicrotask(act); };
    }""")
    page.get_by_text("Many texts at once").click()
    page.locator(".many input[type=file]").set_input_files(
        {"name": "one.txt", "mimeType": "text/plain", "buffer": b"A fine day"}
    )
    page.get_by_role("button", name="Run all").click()
    page.get_by_text("Done: 1 of 1.").wait_for()
    assert refused
    assert page.locator(".many td.number").inner_text() == "0"


def test_the_json_of_an_output_with_thousands_of_spaces_is_shown(page: Page, visit: Visit) -> None:
    answer = [[{"label": "[" + " " * 1900, "score": 0.5}, {"label": "box", "score": 0.5, "box": [1, 2.5, 3]}]]

    def respond(route: Route) -> None:
        route.fulfill(json=answer) if route.request.method == "POST" else route.continue_()

    page.route("**/models/sentiment-en*", respond)
    visit("sentiment-en")
    run(page)
    page.locator(".json summary").click()
    shown = page.locator(".json code").inner_text()
    assert json.loads(shown) == answer
    assert "[1, 2.5, 3]" in shown


@pytest.mark.one_browser
def test_a_file_that_is_dropped_beside_its_field_does_not_replace_the_page(page: Page, visit: Visit) -> None:
    visit("yolo-cells")
    is_prevented = page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["x"], "x.txt"));
            const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
            document.querySelector("h1").dispatchEvent(event);
            return event.defaultPrevented;
        }"""
    )
    assert is_prevented
