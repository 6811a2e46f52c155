"""A store with a tiny text and a tiny image artifact, and fixtures that make this process serve it."""

from __future__ import annotations

import contextvars
import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth import settings
from hearth.bootstrap import prepare_process
from hearth.models.cache import warm_cache
from hearth.telemetry import cost
from tests.support import ROOT, guardian
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.layers import python313
from tests.support.scheduling import policy

if TYPE_CHECKING:
    from tests.template.local_stack import Aws

CONTAINERS = ("sam", "aws")
"""Fixtures that start containers. Their tests take longest and run first, so that the workers end together."""


def pytest_configure() -> None:
    guardian.start_once()
    prepare_process()
    os.environ["HEARTH_ALLOWED_HOSTS"] = "testserver"  # the name that Starlette's TestClient calls


def pytest_make_parametrize_id(val: object) -> str | None:
    """The name of a long body is its length: its bytes may differ from worker to worker, such as gzip's time stamp."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 20 else None


POLICY = policy()
QUICK = ("architecture", "runtime", "support")
"""Folders whose tests are quick unless they are marked as slow; those of the others train, deploy, load or compare with
other libraries."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders. Run containers first and the browser last: a container network that appears or
    goes breaks a page's requests. A test of a page that takes too long ends its worker, which is replaced: one whose
    driver hangs is interrupted in vain, as closing the page waits for the driver too."""

    def priority(item: pytest.Item) -> int:
        fixtures = set(getattr(item, "fixturenames", ()))
        return 2 if fixtures & {"browser", "page"} else 0 if fixtures & set(CONTAINERS) else 1

    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] not in QUICK:
            item.add_marker(pytest.mark.slow)
        if priority(item) == 2:
            item.add_marker(pytest.mark.timeout(300, method="thread"))
    items.sort(key=priority)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test in a context of its own: it leaves no caller, deadline, observation or real-time priority to the tests
    after it."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    contextvars.copy_context().run(pyfuncitem.obj, **arguments)
    assert policy() == POLICY, "encode films in kept_policy()"
    return True


def set_alias(store: Path, model: str, version: str, alias: str = "prod") -> None:
    (store / model / "aliases.json").write_text(json.dumps({alias: {"version": version}}))


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines that this process logged since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """A store with the models `sentiment-en` and `resnet20-cifar10`, version 1, alias prod."""
    folder = tmp_path / "store"
    for make in (make_text_artifact, make_image_artifact):
        set_alias(folder, make(folder).parent.name, "1")
    return folder


@pytest.fixture
def serving(store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process serve `store_folder`, with a cache of its own; return the store's folder."""
    monkeypatch.setenv("HEARTH_STORE", f"file://{store_folder}")
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HEARTH_ALIAS_SECONDS", "0")
    for cached in (settings.get, warm_cache, cost.dollars_per_millisecond):
        cached.cache_clear()
    return store_folder


@pytest.fixture(scope="session")
def python_of_lambda() -> Path:
    """Return a Python 3.13; skip the test if there is none, except in CI."""
    try:
        return python313()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def aws(python_of_lambda: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A local AWS, shared by all tests that need one."""
    from tests.template.local_stack import local_aws  # few tests need it, and with it botocore

    with local_aws(tmp_path_factory.mktemp("aws")) as local:
        yield local
