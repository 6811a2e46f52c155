"""Our functions in containers: the template under SAM local, with real routes; single ones within Lambda's limits.

Both need the same engine, so they are in one file, whose tests run one after the other.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from openai import OpenAI
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from tests.events import event
from tests.events.inputs import (
    HTTP_TRIGGERS,
    MODELS,
    TRIGGERS,
    event_for,
    http_event_for,
    input_of,
    is_success,
    upload_prefix,
)
from tests.support.containers import reason_to_skip
from tests.support.layers import ROOT
from tests.support.requests import rest_event
from tests.support.sam import Sam
from tests.support.strict_container import MEGABYTES_OF_A_PROCESSOR, Strict, strict, variables

reason = reason_to_skip()
pytestmark = pytest.mark.skipif(reason is not None, reason=reason or "")
TASKS_AND_TRIGGERS = list(zip(MODELS, TRIGGERS, strict=False))
"""Each task with a different trigger; test_triggers.py tests all combinations, without containers."""


def function_for(trigger: str) -> str:
    """The function of the template that a trigger invokes."""
    return "Shared" if trigger in HTTP_TRIGGERS else "Jobs"


@pytest.fixture(scope="module")
def invoke(sam: Sam) -> Iterator[Callable[[str, object], Any]]:
    """Invokes a function with an event by boto3; its container stays warm after the first event."""
    with sam.running("start-lambda") as port:
        unsigned = Config(signature_version=UNSIGNED, read_timeout=400, retries={"total_max_attempts": 1})
        client = boto3.client(
            "lambda", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", config=unsigned
        )

        silent = set[str]()

        def invoke(function: str, event: object) -> Any:
            assert function not in silent, "an earlier call got no answer"  # each takes minutes
            answer = client.invoke(FunctionName=function, Payload=json.dumps(event))["Payload"].read()
            if not answer:  # where the function's time was over; SAM's log says so
                silent.add(function)
                raise AssertionError((sam.folder / "start-lambda.log").read_text()[-10_000:])
            return json.loads(answer)

        yield invoke


@pytest.mark.parametrize(("task", "trigger"), TASKS_AND_TRIGGERS)
def test_a_task_is_invoked_by_a_trigger(
    invoke: Callable[[str, object], Any], container_s3: Any, task: str, trigger: str
) -> None:
    answer = invoke(function_for(trigger), event_for(container_s3, trigger, task))
    assert is_success(trigger, answer), answer


@pytest.mark.parametrize("task", ["text_classification", "image_classification"])
def test_a_task_is_invoked_by_every_trigger(invoke: Callable[[str, object], Any], container_s3: Any, task: str) -> None:
    for trigger in TRIGGERS:
        answer = invoke(function_for(trigger), event_for(container_s3, trigger, task))
        assert is_success(trigger, answer), (trigger, answer)


def test_our_runtime_buffers_the_response_where_streaming_is_not_supported(sam: Sam) -> None:
    body = {"inputs": "ROMEO:", "parameters": {"max_new_tokens": 3}, "stream": True}
    response = sam.invoke("Shared", rest_event("POST", "/models/gpt-shakespeare", json.dumps(body)))
    assert response["statusCode"] == 200, response
    assert response["headers"]["x-hearth-stream"] == "buffered"
    assert response["body"].count("data:") == 3


@pytest.fixture(scope="module")
def api(sam: Sam) -> Iterator[int]:
    with sam.running("start-api") as port:
        yield port


def request(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[http.client.HTTPMessage, bytes]:
    """Headers and body of a response, whose status must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return response.headers, content
    finally:
        connection.close()


def test_the_api_lists_the_models(api: int) -> None:
    _, body = request(api, "GET", "/models")
    assert set(MODELS.values()) <= {model["name"] for model in json.loads(body)["models"]}


def test_the_api_accepts_native_requests_with_texts_and_pictures(api: int) -> None:
    for _ in range(2):  # cold and warm
        _, body = request(api, "POST", "/models/sentiment-en", b'{"inputs": "a wonderful film"}')
        assert json.loads(body)[0][0]["label"] == "positive"
    _, body = request(api, "POST", "/models/sentiment-zh", '{"inputs": "这个电影真的很糟糕"}'.encode())
    assert json.loads(body)[0][0]["label"] == "negative"
    picture = input_of("image_classification")
    _, body = request(api, "POST", "/models/resnet20-cifar10", picture, content_type="image/png")
    assert json.loads(body)[0]["score"] > 0.3


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_the_api_accepts_open_inference_requests(api: int, binary: bool) -> None:
    text = InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array(["a wonderful film"], np.object_), binary_data=binary)
    scores = InferRequestedOutput("scores", binary_data=False)
    body, length = InferenceServerClient.generate_request_body([text], outputs=[scores])
    headers = {"inference_header_content_length": str(length)} if length else {}
    assert bool(length) is binary
    _, content = request(api, "POST", "/v2/models/sentiment-en/infer", bytes(body), **headers)
    assert "scores" in {output["name"] for output in json.loads(content)["outputs"]}


def test_the_api_accepts_openai_requests(api: int) -> None:
    client = OpenAI(base_url=f"http://127.0.0.1:{api}/v1", api_key="none", max_retries=0)
    completion = client.completions.create(model="gpt-shakespeare", prompt="ROMEO:", max_tokens=3)
    assert completion.choices[0].text
    assert "gpt-shakespeare" in {model.id for model in client.models.list()}


def test_the_api_accepts_sagemaker_requests(api: int) -> None:
    unsigned = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{api}", region_name="us-east-1", config=unsigned
    )
    response = client.invoke_endpoint(
        EndpointName="sentiment-en", ContentType="application/json", Body=b'{"inputs": "a wonderful film"}'
    )
    assert json.loads(response["Body"].read())[0][0]["label"] == "positive"


def test_the_catalog_accepts_a_storage_event(sam: Sam) -> None:
    assert sam.invoke("Catalog", event("s3-test-event")) == {}


def test_the_catalog_gives_a_ticket(sam: Sam) -> None:
    upload_request = {"model": "resnet20-cifar10", "content_type": "image/png", "size": 1000}
    response = sam.invoke(
        "Catalog", event("rest-v1", path="/uploads", body=json.dumps(upload_request), is_base64=False)
    )
    assert response["statusCode"] == 201, response


def test_the_hook_calls_codedeploy(sam: Sam) -> None:
    response = sam.invoke("Release", event("codedeploy-hook"))
    # moto has no such deployment and cannot accept the result; tests/functions/test_release.py has one.
    assert "for PutLifecycleEventHookExecutionStatus" in response["errorMessage"], response


PROBE = Path(__file__).parent / "probe"
PROBE_MEGABYTES = 1024


@pytest.fixture(scope="module")
def probe(containers: dict[str, str]) -> Iterator[Strict]:
    """A function that tests the limits, in the strict container."""
    with strict(containers, PROBE, {}, memory_mb=PROBE_MEGABYTES) as container:
        yield container


def test_the_strict_container_has_the_limits_of_lambda(probe: Strict) -> None:
    def invoke(**payload: object) -> Any:
        return json.loads(probe.invoke(payload).raw)

    assert invoke(user=None) == [993, 990]
    for folder in ("/", "/opt", "/var/task", "/root", "/var/runtime", "/home"):
        assert invoke(write=folder) in ("Read-only file system", "Permission denied"), folder
    assert invoke(write="/tmp") == ""
    assert invoke(fill=600) == 511 + 1  # the existing files are empty
    assert invoke(spin=1.0) < 1.2 * PROBE_MEGABYTES / MEGABYTES_OF_A_PROCESSOR
    assert invoke(allocate=PROBE_MEGABYTES // 2) == PROBE_MEGABYTES // 2


def test_exceeding_memory_kills_the_process_and_the_next_call_succeeds(probe: Strict) -> None:
    response = probe.invoke({"allocate": 2 * PROBE_MEGABYTES})
    assert b"signal: killed" in response.raw, response
    assert json.loads(probe.invoke({"user": None}).raw) == [993, 990]


def function_variables(function: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a function of the template."""
    function_settings = {"HEARTH_MODELS": MODELS[function], "HEARTH_UPLOAD_PREFIX": upload_prefix(function)}
    return variables() | dict(settings) | function_settings


@pytest.mark.parametrize(
    ("function", "triggers"),
    [
        ("text_classification", ("rest-v1", "sqs-s3", "golden")),
        ("object_tracking", ("alb", "eventbridge-object-created")),  # with every layer except audio
        ("speech_recognition", ("function-url", "sqs-eventbridge")),
    ],
)
def test_a_function_works_within_lambdas_limits(
    containers: dict[str, str],
    container_variables: dict[str, str],
    container_s3: Any,
    function: str,
    triggers: tuple[str, ...],
) -> None:
    settings = function_variables(function, container_variables)
    with strict(containers, ROOT / "functions" / function, settings) as container:
        for trigger in triggers * 2:  # cold and warm
            answer = container.invoke(event_for(container_s3, trigger, function))
            assert is_success(trigger, answer.payload), (trigger, answer.raw, container.log)
        assert "Traceback" not in container.log


def test_a_scratch_folder_that_is_too_small_for_a_model_is_reported(
    containers: dict[str, str], container_variables: dict[str, str]
) -> None:
    settings = function_variables("text_classification", container_variables)
    with strict(containers, ROOT / "functions/text_classification", settings, scratch_mb=1) as container:
        for _ in range(2):
            answer = container.invoke(http_event_for("rest-v1", "text_classification"))
            assert answer.payload["statusCode"] == 503
            assert "of disk, and /tmp" in str(answer.body["error"])
        assert "Traceback" not in container.log
