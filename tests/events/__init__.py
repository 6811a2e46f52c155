"""Payloads as AWS sends them, one file each trigger; `event` fills their placeholders.

`{path}` `{method}` `{body}` `{content_type}` `{is_base64}` of requests; `{bucket}` `{key}` `{size}` `{etag}`
`{version_id}` of objects, `{message_id}` of messages. A body `{"json": NAME}` stands for the other file as text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

HERE = Path(__file__).resolve().parent
DEFAULTS: dict[str, Any] = {
    "path": "/models/sentiment-en",
    "method": "POST",
    "body": '{"inputs": "a wonderful film"}',
    "content_type": "application/json",
    "is_base64": False,
    "bucket": "uploads",
    "key": "uploads/sentiment-en/a film.txt",
    "size": 16,
    "etag": "d41d8cd98f00b204e9800998ecf8427e",
    "version_id": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
    "message_id": "059f36b4-87a3-44ab-83d2-661975830a7d",
}


def event(name: str, **values: Any) -> dict[str, Any]:
    """The payload `<name>.json` with `values` in place of its placeholders. Raises KeyError for unknown ones."""
    if unknown := set(values) - set(DEFAULTS):
        raise KeyError(f"no event has {sorted(unknown)}")
    filled = DEFAULTS | values
    # In notifications of S3 itself, keys are quoted as forms are; EventBridge has them as they are.
    filled["quoted_key"] = quote_plus(filled["key"], safe="/")
    return _fill(json.loads((HERE / f"{name}.json").read_text()), filled)


def _fill(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        if set(part) == {"json"}:
            return json.dumps(_fill(json.loads((HERE / f"{part['json']}.json").read_text()), values))
        return {key: _fill(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_fill(value, values) for value in part]
    if isinstance(part, str):
        if part.startswith("{") and part[1:-1] in values:  # the value itself, which may be no text
            return values[part[1:-1]]
        for name, value in values.items():
            part = part.replace(f"{{{name}}}", str(value))
    return part
