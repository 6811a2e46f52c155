"""API keys of the tests."""

from __future__ import annotations

import hashlib
from typing import Any

KEYS = {"words": "hearth_words", "pictures": "hearth_pictures", "all": "hearth_all", "slow": "hearth_slow"}


def entry(name: str, models: list[str], **limits: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "models": models, **limits}


ENTRIES = [
    entry("words", ["sentiment-*"]),
    entry("pictures", ["resnet*"]),
    entry("all", ["*"]),
    entry("slow", ["*"], rate=0.001, burst=2),
]


def key_header(name: str) -> dict[str, str]:
    return {"x-api-key": KEYS[name]}
