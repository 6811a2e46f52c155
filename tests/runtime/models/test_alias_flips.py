"""An alias that is moved to and fro under load: each answer is that of the version that it names."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth.storage.open import open_store
from hearth_build.cli import serve
from hearth_build.release.aliases import set_alias
from tests.support.artifacts import make_text_artifact

LABELS = {"1": ("negative", "positive"), "2": ("bad", "good")}
SECONDS = 3.0


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    make_text_artifact(serving, version="2", labels=LABELS["2"])
    with TestClient(serve.app()) as client:
        yield client


def test_answers_fit_their_version_while_the_alias_moves(client: TestClient, serving: Path) -> None:
    end = time.monotonic() + SECONDS
    store, answers, faults = open_store(serving.as_uri()), dict.fromkeys(LABELS, 0), list[str]()

    def ask() -> None:
        while time.monotonic() < end:
            response = client.post("/models/sentiment-en", json={"inputs": "good"})
            version = response.headers.get("x-hearth-model", "").partition("@")[2]
            if response.status_code != 200 or {label["label"] for label in response.json()[0]} != {*LABELS[version]}:
                faults.append(f"{response.status_code} {version} {response.text}")
                return
            answers[version] += 1

    def move() -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            set_alias(store, "sentiment-en", "prod", "12"[number % 2])

    threads = [threading.Thread(target=target) for target in (ask, ask, ask, move)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert all(answers.values()), answers
