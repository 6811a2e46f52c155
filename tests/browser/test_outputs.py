"""What outputs, tables, comparisons, settings and snippets show of unusual inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.examples import PAGE, lengthen
from tests.browser.test_page import check_snippets, run, run_snippet

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Visit = Callable[..., None]


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
