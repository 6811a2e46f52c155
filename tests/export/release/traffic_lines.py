"""Log lines of a model whose version 2 gets a share of the requests, or is a shadow."""

from __future__ import annotations

import json
from typing import Any

MODEL = "toy"


def request(routed: str, ms: float = 10.0, **fields: Any) -> str:
    line = {"message": "request", "status": 200, "routed": f"{MODEL}@{routed}", "version": routed, "ms": {"total": ms}}
    return json.dumps(line | fields)


def comparison(agreement: float = 1.0, **fields: Any) -> str:
    line = {"message": "shadow", "model": MODEL, "version": "1", "shadow": "2", "agreement": agreement, "distance": 0.1}
    return json.dumps(line | fields)


GOOD = [request("1"), request("2"), comparison()] * 5
