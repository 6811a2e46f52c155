"""A form is read as it arrives: its fields first, then its file, in pieces of any length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth_build.cli.upload_form import FormReader

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nuploads/\xc3\xbc\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: text/plain\r\n\r\n'
    b"one\r\n--two\r\n--b--\r\n"
)


def read(body: bytes, step: int = 7, limit: int = 100, content_type: str = "multipart/form-data; boundary=b") -> bytes:
    received = bytearray()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    def open_file(fields: dict[str, str]) -> tuple[Callable[[bytes], None], int]:
        assert fields == {"key": "uploads/ü"}
        return received.extend, limit

    asyncio.run(FormReader(content_type, open_file).read(chunks()))
    return bytes(received)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_the_file_is_written_as_it_was_sent(step: int) -> None:
    assert read(FORM, step) == b"one\r\n--two"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (FORM[:-9], BadRequest, "incomplete"),
        (FORM.replace(b'"file"', b'"other"'), BadRequest, "needs a part `file`"),
        (FORM.replace(b"one\r\n--two", b""), BadRequest, "empty"),
        (b"no form", BadRequest, "cannot be read"),
        (FORM.replace(b"uploads/", b"x" * 20_000), PayloadTooLarge, "fields"),
    ],
)
def test_a_bad_form_is_refused(body: bytes, error: type[HearthError], message: str) -> None:
    with pytest.raises(error, match=message):
        read(body)


def test_a_file_that_is_too_large_and_a_body_without_a_form_are_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="larger than 9 bytes"):
        read(FORM, limit=9)
    for content_type in ("", "text/plain", "multipart/form-data"):
        with pytest.raises(UnsupportedMedia, match="is a form"):
            read(FORM, content_type=content_type)
