"""The trained models, published by `hearth publish` to a local S3 and served from there, cold and warm.

`pytest tests/lambda/test_zoo.py -s` shows the log lines with the milliseconds per step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hearth_build import ZOO
from tests.support.emulator import Emulator
from tests.support.requests import rest_event
from tests.support.s3 import CREDENTIALS, client

FUNCTIONS = {
    "sentiment-en": "text_classification",
    "sentiment-zh": "text_classification",
    "resnet20-cifar10": "image_classification",
}


@pytest.mark.parametrize("model", FUNCTIONS)
def test_a_published_model_predicts_like_the_torch_model(model: str, s3_url: str) -> None:
    artifact = next((ZOO / model).glob("*/manifest.json")).parent
    bucket = f"published-{model}"
    client(s3_url).create_bucket(Bucket=bucket)
    environment = os.environ | CREDENTIALS | {"AWS_ENDPOINT_URL": s3_url, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-m",
        "hearth_build.cli.main",
        "publish",
        str(artifact),
        "--store",
        f"s3://{bucket}/models",
    ]
    process = subprocess.run([*command, "--alias", "prod"], env=environment, capture_output=True, text=True)
    assert f"Published {model}@1 as prod" in process.stdout, process.stderr

    settings = {"AWS_ENDPOINT_URL": s3_url, "HEARTH_STORE": f"s3://{bucket}/models", "HEARTH_MODELS": model}
    golden = json.loads((artifact / "golden.json").read_text(encoding="utf-8"))["cases"]
    with Emulator.of(FUNCTIONS[model], settings) as emulator:
        for case in golden:
            inputs = case["inputs"] if isinstance(case["inputs"], str) else case["inputs"]["base64"]
            body = json.dumps({"inputs": [inputs], "parameters": {"top_k": len(case["answer"])}}, ensure_ascii=False)
            response = emulator.invoke(rest_event("POST", f"/models/{model}", body))
            assert response.payload["statusCode"] == 200, response.raw
            scores = {score["label"]: score["score"] for score in response.body[0]}  # type: ignore[index]
            assert scores == pytest.approx(case["answer"], abs=0.05)
        records = emulator.records("request")
    assert [record["cold"] for record in records] == [True] + [False] * (len(golden) - 1)
    for record in records[:2]:
        print(json.dumps({key: record[key] for key in ("model", "version", "cold", "status", "ms")}))
