"""CodeDeploy's hook before traffic: a good version gets traffic; for any other the alias does not move."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth.aws.http1 import ProtocolError, Response
from hearth.errors import StoreError
from hearth_build import ZOO
from hearth_functions.release import app
from tests.events import event
from tests.runtime.tasks.test_golden import copy_with_wrong_golden
from tests.support.codedeploy import Account, AccountServer, Deployment, Version, app_spec
from tests.support.emulator import Emulator
from tests.support.s3 import CREDENTIALS
from tests.support.servers import running

NAME = "hearth-text"
PASSED = json.dumps({"golden": {"sentiment-en": "1"}, "passed": True}).encode()
NEW = app_spec({"Name": NAME, "TargetVersion": "2"})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A fake account whose endpoint this process uses."""
    fake = Account()
    with running(AccountServer(fake)) as url:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        yield fake


def hook(payload: dict[str, str]) -> Any:
    """Call the hook in this process; an exception that it raises is the invocation's error."""
    return app.handler(payload, None)


def version_that_returns(body: bytes, status: int = 200) -> Version:
    return lambda event: (status, body) if json.loads(event) == {"golden": True} else (400, b"")


@pytest.mark.parametrize("honest", [True, False], ids=["good", "spoilt"])
def test_the_hook_checks_a_version_under_the_real_runtime(
    account: Account, honest: bool, tmp_path: Path, python_of_lambda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not honest:
        copy_with_wrong_golden(tmp_path, "sentiment-en", honest=True)
    settings = {"HEARTH_STORE": (ZOO if honest else tmp_path).as_uri(), "HEARTH_MODELS": "sentiment-en"}
    with running(AccountServer(account)) as url:
        release = Emulator.of("release", {"AWS_ENDPOINT_URL": url}, memory_mb=512)
        with Emulator.of("text_classification", settings) as version, release:

            def invoke(event: bytes) -> tuple[int, bytes]:
                response = version.post(event)
                return response.status, response.raw

            account.versions[f"{NAME}:2"] = invoke
            status = account.deploy(Deployment(NEW), release.invoke)
            (line,) = release.records("release")
    assert status == ("Succeeded" if honest else "Failed"), line
    result = line["report"][f"{NAME}:2"]["golden"]["sentiment-en"]  # type: ignore[index]
    assert result == "1" if honest else "differs by" in result


def test_every_version_of_a_deployment_is_invoked(account: Account) -> None:
    both = app_spec({"Name": NAME, "TargetVersion": "2"}, {"Name": "hearth-image", "TargetVersion": "7"})
    account.versions[f"{NAME}:2"] = version_that_returns(PASSED)
    assert account.deploy(Deployment(both), hook) == "Failed"
    account.versions["hearth-image:7"] = version_that_returns(PASSED)
    assert account.deploy(Deployment(both), hook) == "Succeeded"
    assert account.invoked == [f"{NAME}:2", "hearth-image:7"] * 2


def test_a_revision_in_the_older_format_is_read(account: Account) -> None:
    account.versions[f"{NAME}:2"] = version_that_returns(PASSED)
    text = NEW["appSpecContent"] | {"sha256": "0" * 64}
    assert account.deploy(Deployment({"revisionType": "String", "string": text}), hook) == "Succeeded"


@pytest.mark.parametrize(
    "version",
    [
        version_that_returns(PASSED.replace(b"true", b"false")),
        version_that_returns(PASSED.replace(b"true", b'"yes"')),
        version_that_returns(b"[]"),
        version_that_returns(b"null"),
        version_that_returns(b"Task timed out after 29.00 seconds"),
        version_that_returns(b'{"errorType": "Runtime.ExitError", "passed": true}'),
        version_that_returns(b'{"message": "Rate exceeded"}', 429),
        version_that_returns(PASSED, 502),
    ],
    ids=["missed", "a word", "a list", "nothing", "no JSON", "function error", "throttled", "bad gateway"],
)
def test_a_version_that_does_not_pass_gets_no_traffic(account: Account, version: Version) -> None:
    account.versions[f"{NAME}:2"] = version
    assert account.deploy(Deployment(NEW), hook) == "Failed"
    assert account.deployments["d-000000000"].status == "Failed", (
        "the hook must report, so that CodeDeploy does not wait"
    )


def test_a_missing_or_hanging_version_gets_no_traffic(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == deployment.status == "Failed"

    def hanging(_: bytes) -> tuple[int, bytes]:
        time.sleep(0.5)
        return 200, PASSED

    monkeypatch.setattr(app, "READ_SECONDS", 0.1)
    account.versions[f"{NAME}:2"] = hanging
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


@pytest.mark.parametrize("content", ["Resources: []", "[]", '{"Resources": []}', '{"Resources": [{"X": {}}]}', "{}"])
def test_an_unreadable_revision_is_reported_as_failed(account: Account, content: str) -> None:
    deployment = Deployment({"revisionType": "AppSpecContent", "appSpecContent": {"content": content}})
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_a_revision_of_another_type_is_reported_as_failed(account: Account) -> None:
    deployment = Deployment({"revisionType": "S3", "s3Location": {"bucket": "code", "key": "appspec.yaml"}})
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_a_truncated_response_is_reported_as_failed(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.versions[f"{NAME}:2"] = version_that_returns(PASSED)

    def truncated(self: Response) -> bytes:
        if self.headers.get("content-length") == str(len(PASSED)):
            raise ProtocolError("the response ended with 5 bytes missing")
        return read(self)

    read = Response.read
    monkeypatch.setattr(Response, "read", truncated)
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_a_refused_status_is_the_invocations_error(account: Account) -> None:
    account.versions[f"{NAME}:2"] = version_that_returns(PASSED)
    with pytest.raises(StoreError, match="DeploymentDoesNotExistException"):
        hook(event("codedeploy-hook"))
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == "Succeeded"
    with pytest.raises(StoreError, match="LifecycleEventAlreadyCompletedException"):
        hook({"DeploymentId": "d-000000000", "LifecycleEventHookExecutionId": deployment.hook})
    assert deployment.status == "Succeeded"


@pytest.mark.parametrize("payload", [{}, [], None, "d-1", event("ping")], ids=repr)
def test_an_event_that_is_no_hook_is_a_bad_request(account: Account, payload: Any) -> None:
    assert app.handler(payload, None)["error_type"] == "bad_request"
    assert not account.invoked
