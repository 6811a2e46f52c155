"""CodeDeploy's hook before traffic, in a deployment: good versions get traffic, others leave it where it is."""

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
from tests.runtime.tasks.test_golden import spoilt
from tests.support.codedeploy import Account, AccountServer, Deployment, Version, app_spec
from tests.support.emulator import Emulator
from tests.support.s3 import CREDENTIALS
from tests.support.servers import running

NAME = "hearth-text"
PASSED = json.dumps({"golden": {"sentiment-en": "1"}, "passed": True}).encode()
NEW = app_spec({"Name": NAME, "TargetVersion": "2"})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account of its own, which this process asks."""
    found = Account()
    with running(AccountServer(found)) as url:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        yield found


def hook(told: dict[str, str]) -> Any:
    """The hook in this process; what escapes it is the invocation's error."""
    return app.handler(told, None)


def answering(body: bytes, status: int = 200) -> Version:
    return lambda event: (status, body) if json.loads(event) == {"golden": True} else (400, b"")


@pytest.mark.parametrize("honest", [True, False], ids=["good", "spoilt"])
def test_a_version_under_the_real_runtime_is_judged_by_the_hook_under_it(
    account: Account, honest: bool, tmp_path: Path, python_of_lambda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not honest:
        spoilt(tmp_path, "sentiment-en", honest=True)
    settings = {"HEARTH_STORE": (ZOO if honest else tmp_path).as_uri(), "HEARTH_MODELS": "sentiment-en"}
    with running(AccountServer(account)) as url:
        release = Emulator.of("release", {"AWS_ENDPOINT_URL": url}, memory_mb=512)
        with Emulator.of("text_classification", settings) as version, release:

            def answer(event: bytes) -> tuple[int, bytes]:
                found = version.post(event)
                return found.status, found.raw

            account.versions[f"{NAME}:2"] = answer
            status = account.deploy(Deployment(NEW), release.invoke)
            (line,) = release.records("release")
    assert status == ("Succeeded" if honest else "Failed"), line
    told = line["report"][f"{NAME}:2"]["golden"]["sentiment-en"]  # type: ignore[index]
    assert told == "1" if honest else "differs by" in told


def test_every_version_of_a_deployment_is_asked(account: Account) -> None:
    both = app_spec({"Name": NAME, "TargetVersion": "2"}, {"Name": "hearth-image", "TargetVersion": "7"})
    account.versions[f"{NAME}:2"] = answering(PASSED)
    assert account.deploy(Deployment(both), hook) == "Failed"
    account.versions["hearth-image:7"] = answering(PASSED)
    assert account.deploy(Deployment(both), hook) == "Succeeded"
    assert account.asked == [f"{NAME}:2", "hearth-image:7"] * 2


def test_a_revision_in_the_older_form_is_read(account: Account) -> None:
    account.versions[f"{NAME}:2"] = answering(PASSED)
    text = NEW["appSpecContent"] | {"sha256": "0" * 64}
    assert account.deploy(Deployment({"revisionType": "String", "string": text}), hook) == "Succeeded"


@pytest.mark.parametrize(
    "version",
    [
        answering(PASSED.replace(b"true", b"false")),
        answering(PASSED.replace(b"true", b'"yes"')),
        answering(b"[]"),
        answering(b"null"),
        answering(b"Task timed out after 29.00 seconds"),
        answering(b'{"errorType": "Runtime.ExitError", "passed": true}'),
        answering(b'{"message": "Rate exceeded"}', 429),
        answering(PASSED, 502),
    ],
    ids=["missed", "a word", "a list", "nothing", "no JSON", "function error", "throttled", "bad gateway"],
)
def test_a_version_that_does_not_pass_gets_no_traffic(account: Account, version: Version) -> None:
    account.versions[f"{NAME}:2"] = version
    assert account.deploy(Deployment(NEW), hook) == "Failed"
    assert account.deployments["d-000000000"].status == "Failed", "the hook must tell, and not let CodeDeploy wait"


def test_a_version_that_is_not_there_or_hangs_gets_none(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_revision_that_cannot_be_read_is_a_failure_that_is_told(account: Account, content: str) -> None:
    deployment = Deployment({"revisionType": "AppSpecContent", "appSpecContent": {"content": content}})
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_a_revision_of_another_kind_is_too(account: Account) -> None:
    deployment = Deployment({"revisionType": "S3", "s3Location": {"bucket": "code", "key": "appspec.yaml"}})
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_an_answer_that_breaks_off_is_too(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.versions[f"{NAME}:2"] = answering(PASSED)

    def broken(self: Response) -> bytes:
        if self.headers.get("content-length") == str(len(PASSED)):
            raise ProtocolError("the response ended with 5 bytes missing")
        return whole(self)

    whole = Response.read
    monkeypatch.setattr(Response, "read", broken)
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == deployment.status == "Failed"


def test_a_verdict_that_is_not_taken_is_the_invocations_error(account: Account) -> None:
    account.versions[f"{NAME}:2"] = answering(PASSED)
    with pytest.raises(StoreError, match="DeploymentDoesNotExistException"):
        hook(event("codedeploy-hook"))
    deployment = Deployment(NEW)
    assert account.deploy(deployment, hook) == "Succeeded"
    with pytest.raises(StoreError, match="LifecycleEventAlreadyCompletedException"):
        hook({"DeploymentId": "d-000000000", "LifecycleEventHookExecutionId": deployment.hook})
    assert deployment.status == "Succeeded"


@pytest.mark.parametrize("told", [{}, [], None, "d-1", event("ping")], ids=repr)
def test_what_is_no_hook_is_told_so(account: Account, told: Any) -> None:
    assert app.handler(told, None)["error_type"] == "bad_request"
    assert not account.asked
