"""Reads a form with a file from a stream, so that a large file is never in memory: S3's browser uploads, locally.

The fields come before the file, as S3 requires; the file is the part that is named `file`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia

MAX_FIELD_BYTES = 16 * 1024
"""Largest size of all fields together."""


OpenFile = Callable[[dict[str, str]], tuple[Callable[[bytes], None], int]]
"""Takes the fields when the file begins; returns what writes the file's bytes, and how many are allowed."""


class FormReader:
    """Reads one form, whose file `open_file` opens."""

    def __init__(
        self, content_type: str, open_file: Callable[[dict[str, str]], tuple[Callable[[bytes], None], int]]
    ) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMedia("An upload is a form (multipart/form-data): fields of POST /uploads, then `file`")
        self.fields: dict[str, str] = {}
        self.size = 0
        """Bytes of the file."""
        self.complete = False
        """Whether the form has ended."""
        self._open_file, self._parse_header = open_file, parse_options_header
        self._write: Callable[[bytes], None] | None = None
        self._limit = 0
        self._name, self._value = "", bytearray()
        self._header_name, self._header_value = bytearray(), bytearray()
        self._parser = MultipartParser(boundary, self._callbacks())

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the whole form. Raises BadRequest, PayloadTooLarge, and what `open_file` raises."""
        from python_multipart.exceptions import FormParserError

        try:
            async for chunk in chunks:
                self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"The form cannot be read: {error}") from None
        if not self.complete or self._write is None:
            raise BadRequest("The form is incomplete: after its fields it needs a part `file`, and its end")
        if not self.size:
            raise BadRequest("The upload is empty")

    def _begin_part(self) -> None:
        self._name, self._value = "", bytearray()

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            options = self._parse_header(bytes(self._header_value))[1]
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        if self._name == "file":
            if self._write is not None:
                raise BadRequest("A form has one part `file`")
            self._write, self._limit = self._open_file(self.fields)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._name != "file" or self._write is None:
            self._value += data[start:end]
            if len(self._value) + sum(map(len, self.fields.values())) > MAX_FIELD_BYTES:
                raise PayloadTooLarge(f"The fields of the form are larger than {MAX_FIELD_BYTES} bytes")
            return
        self.size += end - start
        if self.size > self._limit:
            raise PayloadTooLarge(f"The upload is larger than {self._limit} bytes, the size given when it was created")
        self._write(data[start:end])

    def _end_part(self) -> None:
        if self._name != "file" and len(self.fields) < MAX_FIELD_BYTES:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self.complete = True
