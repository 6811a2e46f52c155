"""What the page does beyond one call: uploads, history, links, comparison, batches, chat, explanations."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PageMonitor, serving
from tests.browser.examples import lengthen
from tests.browser.test_page import (
    check_accessibility,
    check_snippets,
    enter,
    is_firefox,
    run,
    run_snippet,
    visible_clients,
    wait_for_output,
)
from tests.support.artifacts import make_table_artifact
from tests.support.s3 import CREDENTIALS, client, moto_s3

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Visit = Callable[..., None]


@pytest.fixture
def long_recording(speech_file: Path, tmp_path: Path) -> Path:
    return lengthen(speech_file, tmp_path / "long.wav")


def test_a_large_file_is_uploaded_and_a_reload_does_not_lose_it(
    page: Page, visit: Visit, long_recording: Path, monitor: PageMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor.expected = ["failed: ", "Failed to load resource"]  # requests that the reload ends
    pending: list[str] = []

    def hold(route: Any) -> None:
        pending.append(route.request.method)
        route.fulfill(status=202, content_type="application/json", body='{"id": "x", "status": "waiting"}')

    page.route("**/results/**", hold)
    visit("deepspeech-digits")
    page.locator("#file").set_input_files(long_recording)
    page.get_by_text('Path("long.wav")').wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The model is working on long.wav").wait_for()
    assert page.locator(".answer progress").count() == 1
    page.reload()
    page.get_by_text("The model is working on long.wav").wait_for()
    assert set(pending) == {"GET"}, "leaving the page must not delete the upload"
    page.unroute("**/results/**")
    assert "four zero seven two nine" in wait_for_output(page)
    assert page.get_by_role("button", name="Explain").count() == 0, "the file does not fit into its request either"
    assert visible_clients(page) == ["requests"]
    monkeypatch.chdir(long_recording.parent)
    assert "four zero seven two nine" in run_snippet(page.get_by_role("tabpanel").inner_text())
    page.reload()
    page.get_by_text("The output appears here").wait_for()


def test_an_upload_can_be_stopped(page: Page, visit: Visit, long_recording: Path, monitor: PageMonitor) -> None:
    monitor.expected = ["failed: blob:"]  # the preview, when the page is closed
    deleted: list[str] = []

    def hold(route: Any) -> None:
        deleted.append(route.request.method)
        body = '{"id": "x", "status": "waiting"}'
        route.fulfill(status=202, content_type="application/json", body=body)

    page.route("**/results/**", hold)
    visit("deepspeech-digits")
    page.locator("#file").set_input_files(long_recording)
    page.get_by_text('Path("long.wav")').wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The model is working on long.wav").wait_for()
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.get_by_role("button", name="Stop").click()
    page.locator(".output", has_text="Stopped.").wait_for()


def test_a_file_that_is_chosen_while_the_example_loads_stays(page: Page, long_recording: Path) -> None:
    loading: list[Any] = []
    page.route("**/digits.mp3", lambda route: loading.append(route))
    page.goto("/#model=deepspeech-digits")
    page.locator("#file").wait_for(state="attached")
    while not loading:
        page.wait_for_timeout(20)
    page.locator("#file").set_input_files(long_recording)
    page.get_by_text('Path("long.wav")').wait_for()
    with page.expect_response("**/digits.mp3"):
        loading[0].continue_()
    page.wait_for_timeout(300)  # for a page that shows it
    assert 'Path("long.wav")' in page.get_by_role("tabpanel").inner_text()


def test_another_file_takes_the_place_of_one_that_is_being_uploaded(
    page: Page, visit: Visit, long_recording: Path, monitor: PageMonitor
) -> None:
    monitor.expected = ["failed: "]  # the first one's request, which the second ends
    tickets: list[str] = []
    page.on("request", lambda request: tickets.append(request.url) if request.url.endswith("/uploads") else None)

    def hold(route: Any) -> None:
        route.fulfill(status=202, content_type="application/json", body='{"id": "x", "status": "waiting"}')

    page.route("**/results/**", hold)
    visit("deepspeech-digits")
    for name in ("first.wav", "second.wav"):
        path = long_recording.with_name(name)
        path.write_bytes(long_recording.read_bytes())
        page.locator("#file").set_input_files(path)
        page.get_by_text(f'Path("{name}")').wait_for()
        page.locator(".input").evaluate("form => form.requestSubmit()")  # the button waits for the first one
        page.get_by_text(f"The model is working on {name}").wait_for()
    assert len(tickets) == 2
    page.unroute("**/results/**")
    assert "four zero seven two nine" in wait_for_output(page)


def test_an_upload_continues_after_the_server_did_not_respond(
    page: Page, visit: Visit, long_recording: Path, monitor: PageMonitor
) -> None:
    monitor.expected = ["failed: ", "Failed to load resource"]
    tickets: list[str] = []
    page.on("request", lambda request: tickets.append(request.url) if request.url.endswith("/uploads") else None)
    page.route("**/results/**", lambda route: route.abort())
    visit("deepspeech-digits")
    page.locator("#file").set_input_files(long_recording)
    page.get_by_text('Path("long.wav")').wait_for()
    page.locator(".input button[type=submit]").click()
    page.get_by_text("The server does not respond.").wait_for()
    page.unroute("**/results/**")
    page.get_by_role("button", name="Try again").click()
    assert "four zero seven two nine" in wait_for_output(page)
    assert len(tickets) == 1, "the file was uploaded before"


def test_a_reload_keeps_what_was_typed_and_a_link_carries_it(page: Page, visit: Visit) -> None:
    from playwright.sync_api import expect

    visit("sentiment-en")
    page.get_by_label("Text", exact=True).fill("What a bore.")
    page.reload()
    expect(page.get_by_label("Text", exact=True)).to_have_value("What a bore.")
    page.goto("/")
    page.locator(".card").first.wait_for()
    page.go_back()
    expect(page.get_by_label("Text", exact=True)).to_have_value("What a bore.")

    visit("gpt-shakespeare")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.get_by_label("Prompt").fill("HAMLET:")
    page.get_by_text("Settings").click()
    enter(page, "Maximum tokens", "7")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("copied")
    page.evaluate("sessionStorage.clear()")
    page.goto("/")
    page.goto(link)
    expect(page.get_by_label("Prompt")).to_have_value("HAMLET:")
    assert page.locator("h1").inner_text() == "gpt-shakespeare@2"
    assert '"max_new_tokens":7' in page.get_by_role("tabpanel").inner_text()


def test_the_history_is_searched_opened_and_deleted(page: Page, visit: Visit) -> None:
    visit("sentiment-en")
    for text in ("A wonderful evening.", "A dreadful evening."):
        page.get_by_label("Text", exact=True).fill(text)
        run(page)
    page.get_by_role("link", name="History").click()
    rows = page.locator(".history li")
    rows.nth(1).wait_for()
    check_accessibility(page, "the history")
    page.get_by_role("searchbox").fill("negative dreadful")
    page.get_by_text("1 of 2 calls").wait_for()
    rows.first.get_by_role("link").click()
    page.wait_for_function("() => document.querySelector('textarea')?.value === 'A dreadful evening.'")
    page.go_back()
    page.get_by_role("button", name=re.compile("Delete the call")).first.click()
    page.get_by_text("1 call", exact=True).wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete all").click()
    page.get_by_text("Calls that you make on this page appear here.").wait_for()


def test_versions_and_models_are_compared_side_by_side(page: Page, visit: Visit) -> None:
    visit("sentiment-en")
    page.locator("#versions").wait_for()
    assert re.search(
        r"1 \(this one\)\s*prod\s*86\.0 %", page.locator("section", has=page.locator("#versions")).inner_text()
    )
    page.get_by_label("Compare with").select_option("sentiment-zh")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Run both").wait_for()  # the page before has a field of this name too
    page.get_by_label("Text", exact=True).fill("A waste of time.")
    page.get_by_role("button", name="Run both").click()
    page.locator(".difference table").wait_for()
    assert page.locator(".sides .verdict").all_inner_texts()[0] == "negative"
    assert re.search(r"(Both say|They differ)", page.locator(".difference").inner_text())
    check_accessibility(page, "the comparison")


@pytest.fixture
def download(page: Page, downloads: Path) -> Callable[[str, str], bytes]:
    """A function that clicks on a button and returns the file of this name that the browser saves."""

    def save(button: str, name: str) -> bytes:
        if not is_firefox(page):
            with page.expect_download() as saved:
                page.get_by_role("button", name=button).click()
            assert saved.value.suggested_filename == name
            return Path(saved.value.path()).read_bytes()
        # Firefox's event has no id, so Playwright drops it; the file lies in the folder all the same.
        page.get_by_role("button", name=button).click()
        deadline = time.monotonic() + 30
        while not (downloads / name).exists() and time.monotonic() < deadline:
            page.wait_for_timeout(100)
        return (downloads / name).read_bytes()

    return save


def test_a_csv_of_texts_is_run_with_a_table_and_downloads(
    page: Page, visit: Visit, download: Callable[[str, str], bytes], tmp_path: Path
) -> None:
    (tmp_path / "reviews.csv").write_text('id,review\n1,"Warm, funny and kind"\n2,"A ""great"" bore"\n3,=1+1\n')
    visit("sentiment-en")
    page.get_by_text("Many texts at once").click()
    page.locator(".many input[type=file]").set_input_files(tmp_path / "reviews.csv")
    page.get_by_text("3 texts").wait_for()
    assert page.get_by_label("Column of the text").evaluate("(list) => list.selectedOptions[0].text") == "review"
    page.get_by_role("button", name="Run all").click()
    page.get_by_text("Done: 3 of 3.").wait_for()
    check_accessibility(page, "a batch")
    results = json.loads(download("Download JSON", "results.json"))
    assert [result["input"] for result in results] == ["Warm, funny and kind", 'A "great" bore', "=1+1"]
    assert results[0]["output"][0][0]["label"] == "positive"
    lines = download("Download CSV", "results.csv").decode("utf-8-sig").splitlines()
    assert lines[0] == "input,result,ms,error,output"
    assert lines[1].startswith('"Warm, funny and kind","positive')
    assert lines[3].startswith("'=1+1,"), "a formula is quoted"


def test_several_files_at_once_say_which_one_failed(page: Page, visit: Visit, monitor: PageMonitor) -> None:
    monitor.expected = ["Failed to load resource"]
    picture = (Path(__file__).parents[2] / "functions/catalog/page/ship.jpg").read_bytes()
    visit("resnet20-cifar10")
    page.get_by_text("Several files at once").click()
    files = [("a.jpg", picture), ("b.jpg", b"no picture"), ("c.jpg", picture)]
    page.locator(".many input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    )
    page.get_by_role("button", name="Run all").click()
    page.get_by_text("Done: 3 of 3, 1 failed.").wait_for()
    assert page.locator(".many td .bad").count() == 1


def test_a_chat_streams_regenerates_and_keeps_its_system_prompt(
    page: Page, visit: Visit, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto("/#model=gpt-shakespeare&task=chat")
    page.get_by_label("Message").wait_for()
    page.get_by_text("System prompt").click()
    page.get_by_label("Instructions for the whole conversation").fill("A street in Rome.")
    page.get_by_text("Settings").click()
    enter(page, "Maximum tokens", "12")
    page.get_by_label("Message").fill("Who goes there?")
    page.keyboard.press("Enter")
    page.locator(".times").wait_for()
    assert page.locator(".chat li").count() == 2
    assert page.locator(".chat .assistant .content").inner_text().strip()
    assert re.search(r"\d+ tokens", page.locator(".status").inner_text())
    page.get_by_label("Show the probability of each token").check()
    assert page.locator(".chat.sure .assistant .content span").count() > 3
    check_accessibility(page, "a chat")
    check_snippets(page, ["curl", "requests", "fetch", "huggingface_hub", "openai"], server)
    page.get_by_role("button", name="Regenerate").click()
    page.locator(".times").wait_for()
    assert page.locator(".chat li").count() == 2
    page.reload()
    page.locator(".chat li").nth(1).wait_for()
    assert "A street in Rome." in page.get_by_role("tabpanel").inner_text()
    page.get_by_role("button", name="New chat").click()
    assert page.locator(".chat li").count() == 0


def test_an_explanation_is_shown_on_the_text_and_on_the_picture(page: Page, visit: Visit) -> None:
    visit("sentiment-en")
    page.get_by_label("Text", exact=True).fill("The plot is dull but the music is lovely.")
    run(page)
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("heading", name=re.compile("^Why ")).wait_for()
    assert page.locator(".explained").inner_text() == "The plot is dull but the music is lovely."
    assert page.locator(".explained .for").count() > 0
    assert page.locator(".explained .against").count() > 0
    check_accessibility(page, "an explanation")
    visit("resnet20-cifar10")
    run(page)
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("heading", name=re.compile("^Why ship")).wait_for()
    assert page.locator(".tile").count() > 3


def strengths(page: Page, selector: str) -> list[int]:
    """How strong the marks are, in percent."""
    script = "nodes => nodes.map(node => parseInt(node.style.getPropertyValue('--strength')))"
    found: list[int] = page.locator(selector).evaluate_all(script)
    return found


def test_a_written_word_shows_the_source_words_that_it_is_due_to(page: Page, visit: Visit) -> None:
    visit("translate-en-de")
    page.get_by_label("English").fill("A black dog runs through the snow.")
    run(page)
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("button", name="schwarzer", exact=True).click()
    assert page.locator(".explained .part").all_inner_texts()[1] == "black"
    marked = strengths(page, ".explained .part")
    assert marked.index(max(marked)) == 1
    page.get_by_role("button", name="schnee", exact=True).click()
    marked = strengths(page, ".explained .part")
    assert marked.index(max(marked)) == 6
    check_accessibility(page, "an explanation of a translation")


def test_the_seconds_of_a_word_are_marked_on_the_waveform(page: Page, visit: Visit) -> None:
    visit("deepspeech-digits")
    run(page)
    page.get_by_role("button", name="Explain").click()
    words = page.get_by_role("group", name=re.compile("^Written words"))
    words.wait_for(timeout=60_000)
    places = []
    for word in ("four", "nine"):
        words.get_by_role("button", name=word, exact=True).click()
        marked = strengths(page, ".segment")
        places.append(marked.index(max(marked)) / len(marked))
    assert places[0] < 0.2  # the first of five digits
    assert places[1] > 0.6
    check_accessibility(page, "an explanation of a recording")


def test_columns_of_the_chosen_row_are_bars(page: Page, visit: Visit, store: Path) -> None:
    make_table_artifact(store, model="rent", columns=dict.fromkeys(("age", "hours", "rooms"), (1.0, 2.0, 3.0)))
    try:
        visit("rent")
        page.get_by_role("textbox", name="Table").fill("age,hours,rooms\n2,2,2\n9,4,2")
        run(page)
        page.get_by_label("Row to explain").select_option("1")
        page.get_by_role("button", name="Explain").click()
        first = page.locator(".causes li").first
        first.wait_for()
        assert first.inner_text().split() == ["age", "=", "9", "+14.000"]
        assert page.locator(".causes li.against").inner_text().startswith("hours = 4")
        check_accessibility(page, "an explanation of a row")
    finally:
        shutil.rmtree(store / "rent")


def test_labels_of_boxes_do_not_overlap(page: Page, visit: Visit) -> None:
    visit("yolo-cells")
    page.get_by_text("Settings").click()
    page.get_by_label("Minimum score").fill("0.1")
    page.get_by_label("Maximum overlap").fill("0.95")
    run(page)
    page.wait_for_function("() => document.querySelector('.box span').style.left !== ''")
    places = [box.bounding_box() for box in page.locator(".box span:visible").all()]
    assert len(places) > 5
    for index, a in enumerate(places):
        for b in places[:index]:
            assert a
            assert b
            apart = (
                a["x"] + a["width"] <= b["x"] + 0.5
                or b["x"] + b["width"] <= a["x"] + 0.5
                or a["y"] + a["height"] <= b["y"] + 0.5
                or b["y"] + b["height"] <= a["y"] + 0.5
            )
            assert apart, (a, b)


@pytest.mark.one_browser
def test_models_that_cannot_be_served_and_models_of_ones_own(page: Page, server: str) -> None:
    """The store's list and a manifest of a user's model, as the service would send them."""

    def models(route: Any) -> None:
        document = route.fetch().json()
        document["unavailable"] = [{"name": "broken", "error": "manifest.json has no task", "error_type": "manifest"}]
        route.fulfill(json=document)

    def manifest(route: Any) -> None:
        document = route.fetch().json()
        document["provenance"]["recipe"] = "tickets"
        document["metrics"]["metric"] = ""
        document["metrics"]["served"] = {"largest golden difference": 0.01, "macro F1": 0.91}
        route.fulfill(json=document)

    page.route("**/models", models)
    page.goto("/")
    page.get_by_role("heading", name="Unavailable").wait_for()
    assert "manifest.json has no task" in page.locator("main").inner_text()
    page.get_by_role("searchbox").fill("nothing like this")
    page.get_by_text("No model has all of these words.").wait_for()
    page.route("**/models/sentiment-en", manifest)
    page.goto("/#model=sentiment-en")
    page.locator(".bench").wait_for()
    assert re.match(r"macro F1\s*0\.91", page.locator(".facts").first.inner_text())
    assert page.locator(".chip").count() == 0, "an example of another model would mislead"
    assert page.get_by_label("Text", exact=True).get_attribute("placeholder") == (
        "A text, which is one of negative, positive"
    )


def test_a_wrong_file_says_what_it_is(page: Page, visit: Visit) -> None:
    visit("resnet20-cifar10")
    for name, kind, data, message in (
        ("notes.txt", "text/plain", b"hello", "This is text/plain, not a picture."),
        ("empty.png", "image/png", b"", "This file is empty."),
        ("bad.png", "image/png", b"bad", "This browser cannot show the file"),
    ):
        page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})
        page.get_by_text(message).wait_for()
        assert page.locator(".preview img").count() == 0


@pytest.mark.one_browser
def test_feedback_sends_the_correct_label(page: Page, visit: Visit) -> None:
    visit("sentiment-en")
    page.get_by_label("Text", exact=True).fill("Not bad at all.")
    run(page)
    with page.expect_request(
        lambda request: request.url.endswith("/sentiment-en%401/feedback")
    ) as sent:  # who answered
        page.get_by_role("button", name="No", exact=True).click()
        page.get_by_role("button", name="Send").click()
    assert (sent.value.post_data_json or {}).keys() == {"request_id", "label", "prediction"}
    page.get_by_text("Thank you; the service has your feedback.").wait_for()


def test_a_large_file_goes_to_the_bucket_of_a_stack(
    browser: Browser, store: Path, long_recording: Path, tmp_path: Path
) -> None:
    """The form of S3, under the content security policy of the page; the test writes the result as the jobs function
    would."""
    with moto_s3() as url:
        s3 = client(url)
        for bucket in ("page-inbox", "page-outbox"):
            s3.create_bucket(Bucket=bucket)
        rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["POST"], "AllowedHeaders": ["*"]}
        s3.put_bucket_cors(Bucket="page-inbox", CORSConfiguration={"CORSRules": [rule]})
        buckets = {"HEARTH_UPLOADS": "s3://page-inbox", "HEARTH_OUTPUT": "s3://page-outbox/results"}
        with serving(store, tmp_path, **CREDENTIALS, AWS_ENDPOINT_URL_S3=url, **buckets) as address:
            page = browser.new_context(base_url=address, reduced_motion="reduce").new_page()
            page.set_default_timeout(60_000)
            page.goto("/#model=deepspeech-digits")
            page.locator("#file").set_input_files(long_recording)
            page.get_by_text('Path("long.wav")').wait_for()
            page.locator(".input button[type=submit]").click()
            page.get_by_text("The model is working on long.wav").wait_for()
            (uploaded,) = s3.list_objects_v2(Bucket="page-inbox")["Contents"]
            body = json.loads(s3.get_object(Bucket="page-inbox", Key=uploaded["Key"])["Body"].read())
            assert body["parameters"] == {"return_timestamps": "word"}
            assert base64.b64decode(body["inputs"]) == long_recording.read_bytes()
            result = {"model": "deepspeech-digits", "version": "2", "input": {}, "output": {"text": "it arrived"}}
            key = f"results/{uploaded['Key']}.json"
            s3.put_object(Bucket="page-outbox", Key=key, Body=json.dumps(result).encode())
            assert "it arrived" in wait_for_output(page)
            page.context.close()
