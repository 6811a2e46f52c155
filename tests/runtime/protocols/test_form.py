"""Forms: fields, files, and bodies that are no form."""

from __future__ import annotations

import tempfile

import pytest

from hearth.errors import BadRequest
from hearth.protocols.base import Request
from hearth.protocols.form import is_form, read_form


def form(*parts: str, boundary: str = "x") -> Request:
    lines = [f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts]
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return Request((), ("".join(lines) + "--x--\r\n").encode(), headers=headers)


FILE, NAME = 'name="file"; filename="a"\r\n\r\nsound', 'name="model"\r\n\r\nm'


def test_a_form_is_known_by_its_media_type() -> None:
    assert is_form(form(NAME))
    assert is_form(Request((), headers={"content-type": "Multipart/Form-Data; boundary=x"}))
    assert not is_form(Request((), headers={"content-type": "application/json"}))
    assert not is_form(Request(()))


def test_fields_and_files_are_read_in_order() -> None:
    fields, files = read_form(form(NAME, FILE, 'name="language"\r\n\r\nen', 'name="language"\r\n\r\nü'))
    assert fields == {"model": ["m"], "language": ["en", "ü"]}
    assert files == [("file", b"sound")]


def test_a_large_file_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, lambda *_, **__: pytest.fail("written to disk"))
    large = "s" * 3_000_000
    assert len(read_form(form(f'name="file"; filename="a"\r\n\r\n{large}'))[1][0][1]) == 3_000_000


def test_a_body_that_does_not_match_its_boundary_is_refused() -> None:
    for request in (form(NAME, boundary="other"), Request((), b"", headers={"content-type": "multipart/form-data"})):
        with pytest.raises(BadRequest, match="does not match the boundary in Content-Type"):
            read_form(request)
