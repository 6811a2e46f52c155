"""The timestamp of a log line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from hearth.telemetry import json_format


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    json_format._minute.cache_clear()
    yield request.param
    monkeypatch.undo()
    time.tzset()
    json_format._minute.cache_clear()


SUMMER = 1_730_613_599.25
"""The last second of daylight saving time in New York in 2024."""


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("when", [SUMMER, SUMMER + 1, SUMMER + 60.5, 0.0, 59.999, 4_000_000_000.5])
def test_the_timestamp_is_local_with_milliseconds_and_zone(when: float) -> None:
    local = time.localtime(when)
    expected = f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{int(when % 1 * 1000):03d}{time.strftime('%z', local)}"
    record = logging.makeLogRecord({"created": when, "msg": "words", "levelname": "INFO"})
    for line in (json_format.line("INFO", "f:1", "words", when, {}), json_format.JsonFormatter().format(record)):
        assert json.loads(line)["timestamp"] == expected
