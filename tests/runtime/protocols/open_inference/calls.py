"""Calls of the protocol, and the tensors that its tests send."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from hearth.models.cache import warm_cache

LENGTH = "Inference-Header-Content-Length"


TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["i love it"]}


IDS = {"name": "input_ids", "datatype": "INT64", "shape": [1, 3], "data": [101, 2293, 102]}


MASK = {"name": "attention_mask", "datatype": "INT64", "shape": [1, 3], "data": [1, 1, 1]}


def zeros(model: str, role: str = "main", **sizes: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return zeros for the inputs of a model's graph; `sizes` are those of its dynamic dimensions."""
    registry = warm_cache().registry
    graph = registry.resolve(model).manifest.graphs[role]
    dtypes = {"int64": "<i8", "int32": "<i4", "float32": "<f4"}
    return {
        tensor.name: np.zeros(
            [sizes[size] if isinstance(size, str) else size for size in tensor.shape], dtypes[tensor.dtype]
        )
        for tensor in graph.inputs
    }


def texts(*values: str, name: str = "text") -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(values)], "data": list(values)}


def infer(client: TestClient, model: str, *inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **fields})
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def infer_binary(
    client: TestClient, model: str, header: dict[str, Any], *buffers: bytes, **headers: str
) -> tuple[dict[str, Any], bytes, Any]:
    """Infer with binary tensors; return the JSON header, the bytes after it, and the response."""
    content = json.dumps(header).encode()
    headers |= {LENGTH: str(len(content))}
    response = client.post(f"/v2/models/{model}/infer", content=content + b"".join(buffers), headers=headers)
    assert response.status_code == 200, response.text
    if LENGTH not in response.headers:
        return response.json(), b"", response
    length = int(response.headers[LENGTH])
    return json.loads(response.content[:length]), response.content[length:], response


def encode_request(header: dict[str, Any], data: bytes) -> tuple[bytes, int]:
    content = json.dumps(header).encode()
    return content + data, len(content)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def infer_arrays(client: TestClient, model: str, arrays: dict[str, np.ndarray[Any, Any]]) -> int:
    datatypes = {"<i8": "INT64", "<f4": "FP32", "<i4": "INT32"}
    header: dict[str, Any] = {"inputs": [], "parameters": {"binary_data_output": True}}
    content = b""
    for name, array in arrays.items():
        data = array.tobytes()
        header["inputs"].append(
            {"name": name, "datatype": datatypes[array.dtype.str], "shape": list(array.shape),
             "parameters": {"binary_data_size": len(data)}}
        )  # fmt: skip
        content += data
    body, length = encode_request(header, content)
    return client.post(f"/v2/models/{model}/infer", content=body, headers={LENGTH: str(length)}).status_code
