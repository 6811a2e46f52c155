"""The page of the deployed stack in a browser: the key, a call, and a file that goes through the bucket of uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from hearth_build import ZOO
from tests.browser.driver import driver, program_or_skip
from tests.browser.examples import PAGE, lengthen
from tests.browser.test_page import run, wait_for_output
from tests.template.local_stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """A page of a Chromium that accepts the certificate of the local AWS; its base is the address of the API."""
    path = program_or_skip("chromium")
    with driver() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(ignore_https_errors=True, base_url=stack.address, reduced_motion="reduce")
        context.set_default_timeout(120_000)  # functions start cold
        yield context.new_page()
        browser.close()


def test_the_page_asks_for_the_key_calls_a_model_and_uploads_a_large_file(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    folder, bucket = ZOO / "deepspeech-digits", stack.outputs["ArtifactBucketName"]
    for path in (path for path in folder.rglob("*") if path.is_file()):
        key = f"models/{path.relative_to(ZOO)}"
        stack.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    page.goto("./")
    page.get_by_text("This service requires an API key.").wait_for()
    page.get_by_role("button", name="Enter API key").click()
    page.get_by_label("Key", exact=True).fill(stack.api_key)
    page.get_by_role("button", name="Use key").click()
    page.get_by_role("link", name="sentiment-en").click()
    page.locator(".bench").wait_for()
    page.get_by_label("Text", exact=True).fill("an awful, terrible film")
    assert "negative" in run(page)

    samples, rate = soundfile.read(PAGE / "digits.mp3")
    soundfile.write(tmp_path / "spoken.wav", samples, rate, subtype="PCM_16")
    page.goto("./#model=deepspeech-digits")
    page.locator("#file").set_input_files(lengthen(tmp_path / "spoken.wav", tmp_path / "long.wav"))
    page.get_by_text('Path("long.wav")').wait_for()
    with page.expect_request(lambda request: f"/{stack.outputs['UploadBucketName']}/" in request.url) as sent:
        page.locator(".input button[type=submit]").click()
    assert sent.value.method == "POST", "the form goes to the bucket itself"
    assert "four zero seven two nine" in wait_for_output(page)
