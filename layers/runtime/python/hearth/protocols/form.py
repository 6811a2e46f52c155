"""Forms: bodies of the media type multipart/form-data."""

from __future__ import annotations

from typing import Any

from hearth.errors import BadRequest
from hearth.protocols.base import Request

MEDIA_TYPE = "multipart/form-data"


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith(MEDIA_TYPE)


def read_form(request: Request) -> tuple[dict[str, list[str]], list[tuple[str, bytes]]]:
    """The texts of a form's fields, and the names and contents of its files. Raises BadRequest."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import create_form_parser

    fields: dict[str, list[str]] = {}
    files: list[tuple[str, bytes]] = []

    def on_field(field: Any) -> None:
        fields.setdefault((field.field_name or b"").decode("utf-8", "replace"), []).append(
            (field.value or b"").decode("utf-8", "replace")
        )

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        files.append(((file.field_name or b"").decode("utf-8", "replace"), file.file_object.read()))

    # The body is in memory already and must not be written to disk, which the parser does from 1 MiB on.
    memory = {"MAX_MEMORY_FILE_SIZE": len(request.body) + 1}
    content_type = request.headers["content-type"].encode("latin-1", "replace")
    try:
        parser = create_form_parser({"Content-Type": content_type}, on_field, on_file, config=memory)
        parser.write(request.body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise BadRequest("The form cannot be read: it does not match the boundary in Content-Type") from None
    return fields, files
