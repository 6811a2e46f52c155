"""Settings fail early with a sentence."""

from __future__ import annotations

import pytest

from hearth import settings
from hearth.errors import SettingsError


def test_threads_follow_the_memory_of_a_lambda() -> None:
    def threads(memory: int) -> int:
        return settings.read({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory)}).threads

    assert [threads(memory) for memory in (128, 1769, 3538, 10240)] == [1, 1, 2, 6]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("HEARTH_STORE", "http://x"),
        ("HEARTH_THREADS", "many"),
        ("HEARTH_THREADS", "0"),
        ("HEARTH_MODELS", "../up"),
        ("HEARTH_MAX_BODY_MB", "-1"),
        ("HEARTH_CACHE_DISK_MB", "nan"),
        ("HEARTH_OUTPUT", "results"),
        ("HEARTH_STREAM", "rest,alb"),
    ],
)
def test_an_invalid_value_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        settings.read({key: value})
