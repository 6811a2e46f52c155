"""Any graph as the task `tensors`: what ONNX Runtime answers is what the service answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node, make_tensor_value_info
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import BadRequest
from hearth.models.cache import warm_cache
from hearth.storage.open import open_store
from hearth.tasks import golden
from hearth_build.cli import serve
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.precision import build_import
from hearth_build.recipe import RecipeError
from hearth_build.release.publish import publish

ML = "ai.onnx.ml"
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any] | None = None) -> Any:
    made = helper.make_graph(nodes, "graph", inputs, outputs, weights or [])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def several() -> Any:
    """A matrix of unnamed sizes, a scalar and a flag; two outputs."""
    nodes = [
        make_node("Mul", ["x", "factor"], ["scaled"]),
        make_node("Where", ["flag", "scaled", "x"], ["y"]),
        make_node("Shape", ["x"], ["size"]),
    ]
    inputs = [
        make_tensor_value_info("x", FLOAT, [None, 3]),
        make_tensor_value_info("factor", FLOAT, []),
        make_tensor_value_info("flag", TensorProto.BOOL, [1]),
    ]
    outputs = [make_tensor_value_info("y", FLOAT, None), make_tensor_value_info("size", INT64, [2])]
    return graph(nodes, inputs, outputs)


def texts() -> Any:
    nodes = [make_node("Concat", ["words", "words"], ["twice"], axis=0)]
    edges = [make_tensor_value_info(name, STRING, [size]) for name, size in (("words", "n"), ("twice", "m"))]
    return graph(nodes, edges[:1], edges[1:])


def sequence() -> Any:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    nodes = [
        make_node("ConcatFromSequence", ["parts"], ["whole"], axis=0),
        make_node("SequenceConstruct", ["whole", "whole"], ["twice"]),
    ]
    whole = make_tensor_value_info("whole", FLOAT, ["n"])
    return graph(nodes, [helper.make_value_info("parts", kind)], [whole, helper.make_value_info("twice", kind)])


def maps() -> Any:
    kind = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, None))
    nodes = [make_node("DictVectorizer", ["row"], ["y"], domain=ML, string_vocabulary=["age", "hours"])]
    return graph(nodes, [helper.make_value_info("row", kind)], [make_tensor_value_info("y", FLOAT, [1, 2])])


def zip_map() -> Any:
    """Scores as scikit-learn's exports have them: a sequence of maps."""
    entry = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, None))
    nodes = [
        make_node("Softmax", ["x"], ["scores"]),
        make_node("ZipMap", ["scores"], ["probabilities"], domain=ML, classlabels_strings=["no", "yes"]),
    ]
    output = helper.make_value_info("probabilities", helper.make_sequence_type_proto(entry))
    return graph(nodes, [make_tensor_value_info("x", FLOAT, [None, 2])], [output])


def half() -> Any:
    nodes = [make_node("Cast", ["x"], ["wide"], to=FLOAT), make_node("Cast", ["wide"], ["y"], to=TensorProto.BFLOAT16)]
    edges = [make_tensor_value_info(name, TensorProto.BFLOAT16, ["n"]) for name in ("x", "y")]
    return graph(nodes, edges[:1], edges[1:])


def noise() -> Any:
    nodes = [make_node("RandomNormalLike", ["x"], ["y"])]
    edges = [make_tensor_value_info(name, FLOAT, ["n"]) for name in ("x", "y")]
    return graph(nodes, edges[:1], edges[1:])


GRAPHS = {make.__name__.replace("_", "-"): make for make in (several, texts, sequence, maps, zip_map, half, noise)}
INPUTS: dict[str, dict[str, Any]] = {
    "several": {"x": [[1.0, -2.5, 3.0]], "factor": 2.0, "flag": [True]},
    "texts": {"words": ["alpha", "größe"]},
    "sequence": {"parts": [[1.0, 2.0], [3.0]]},
    "maps": {"row": {"age": 39.0, "hours": 40.5}},
    "zip-map": {"x": [[0.0, 1.0], [2.0, 2.0]]},
    "half": {"x": [0.5, 1.25]},
    "noise": {"x": [0.5, 1.25]},
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "several": {"y": [[2.0, -5.0, 6.0]], "size": [1, 3]},
    "texts": {"twice": ["alpha", "größe", "alpha", "größe"]},
    "sequence": {"whole": [1.0, 2.0, 3.0], "twice": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]},
    "maps": {"y": [[39.0, 40.5]]},
    "zip-map": {"probabilities": [[0.2689414, 0.7310586], [0.5, 0.5]]},
    "half": {"y": [0.5, 1.25]},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("tensors")
    store = open_store(f"file://{folder / 'store'}")
    for name, make in GRAPHS.items():
        onnx.save(make(), folder / f"{name}.onnx")
        imported = read(str(folder / f"{name}.onnx"), ImportOptions(task="tensors"))
        build_import(imported.recipe, imported.quantizers, folder / name, "hearth import")
        publish(store, folder / name / "artifact", alias="prod")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", f"file://{folder / 'store'}")
        patch.setenv("HEARTH_CACHE_DIR", str(folder / "cache"))
        settings.get.cache_clear()
        warm_cache.cache_clear()
        with TestClient(serve.app(), raise_server_exceptions=False) as client:
            yield client
    settings.get.cache_clear()
    warm_cache.cache_clear()


def leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_graph_answers_by_the_names_of_its_tensors(client: TestClient, name: str) -> None:
    response = client.post(f"/models/{name}", json={"inputs": INPUTS[name]})
    assert response.status_code == 200, response.text
    document = response.json()
    assert document.keys() == OUTPUTS[name].keys()
    for output, expected in OUTPUTS[name].items():
        values = leaves(document[output])
        assert values == leaves(expected) or values == pytest.approx(leaves(expected), abs=1e-6)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_open_inference_protocol_calls_a_graph_under_its_own_name(client: TestClient, name: str) -> None:
    metadata = client.get(f"/v2/models/{name}").json()
    tensors = []
    for tensor in metadata["inputs"]:
        value = INPUTS[name][tensor["name"]]
        if tensor["datatype"] == "BYTES" and tensor["shape"] == [1] and name in ("sequence", "maps"):
            tensors.append({**tensor, "data": [json.dumps(value)]})
        else:
            tensors.append({**tensor, "shape": list(np.shape(value)), "data": leaves(value)})
    response = client.post(f"/v2/models/{name}/infer", json={"inputs": tensors})
    assert response.status_code == 200, response.text
    for output in response.json()["outputs"]:
        expected = OUTPUTS[name][output["name"]]
        if output["name"] == "twice" and name == "sequence":
            assert json.loads(output["data"][0]) == expected
        else:
            assert output["data"] == leaves(expected) or output["data"] == pytest.approx(leaves(expected), abs=1e-6)


def test_golden_answers_are_drawn_from_the_types_and_replayed(client: TestClient) -> None:
    report = golden.check(serve.tasks(), list(GRAPHS))
    assert report == {"golden": dict.fromkeys(GRAPHS, "1"), "passed": True}
    folder = Path(settings.get().store.removeprefix("file://"))
    cases = {name: json.loads((folder / name / "1/golden.json").read_bytes())["cases"] for name in GRAPHS}
    assert {name: len(found) for name, found in cases.items() if name != "noise"} == dict.fromkeys(OUTPUTS, 2)
    assert cases["noise"] == []  # random numbers do not repeat


def test_a_changed_answer_fails_the_replay(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_functions.tensors.app.to_json", lambda value: (np.asarray(value) + 0.1).tolist())
    report = golden.check(serve.tasks(), ["several"])
    assert not report["passed"]
    assert "differs by" in report["golden"]["several"]


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("several", {"x": [[1.0, 2.0, 3.0]]}, "'factor' is missing"),
        ("several", INPUTS["several"] | {"z": 1}, "no input `z`; the inputs are: x, factor, flag"),
        ("several", INPUTS["several"] | {"x": [[1.0, 2.0]]}, "has the shape"),
        ("several", INPUTS["several"] | {"x": [[1.0, 2.0, 3.0], [1.0]]}, "same length"),
        ("several", INPUTS["several"] | {"x": [1.0, 2.0, 3.0]}, "nested 2 deep, not 1"),
        ("several", INPUTS["several"] | {"x": [["a", "b", "c"]]}, "must be numbers"),
        ("several", INPUTS["several"] | {"x": [[1e39, 0, 0]]}, "does not fit into float32"),
        ("several", INPUTS["several"] | {"flag": [1]}, "must be true or false"),
        ("several", INPUTS["several"] | {"x": {"base64": "AAAA", "shape": [1, 3]}}, "needs 12 bytes"),
        ("several", INPUTS["several"] | {"x": {"base64": "AAAAAA==", "shape": [1] * 65}}, "length <= 64"),
        ("several", INPUTS["several"] | {"x": {"base64": "", "shape": [0, 10**30]}}, "too large"),
        ("several", INPUTS["several"] | {"x": []}, "must be at least 1"),
        ("maps", {"row": [1, 2]}, r"must be JSON of the type map\(string,tensor\(float\)\)"),
        ("sequence", {"parts": 3}, r"must be JSON of the type seq\(tensor\(float\)\)"),
        ("sequence", {"parts": [[1.0], [[2.0]]]}, "cannot compute with these values"),
    ],
)
def test_inputs_that_do_not_fit_are_400(client: TestClient, name: str, inputs: Any, message: str) -> None:
    response = client.post(f"/models/{name}", json={"inputs": inputs})
    assert response.status_code == 400
    with pytest.raises(BadRequest, match=message):
        raise BadRequest(response.json()["error"])


def test_bytes_are_accepted_in_place_of_lists(client: TestClient) -> None:
    import base64

    raw = base64.b64encode(np.array([[1.0, -2.5, 3.0]], "<f4").tobytes()).decode()
    inputs = INPUTS["several"] | {"x": {"base64": raw, "shape": [1, 3]}}
    assert client.post("/models/several", json={"inputs": inputs}).json() == OUTPUTS["several"]


def test_infinity_in_an_output_is_refused_in_json_and_sent_as_binary_data(client: TestClient) -> None:
    inputs = {"x": [[3e38, 0.0, 0.0]], "factor": 10.0, "flag": [True]}
    response = client.post("/models/several", json={"inputs": inputs})
    assert response.status_code == 400
    assert "binary data" in response.json()["error"]


def test_a_graph_is_measured_on_data(client: TestClient, tmp_path: Path) -> None:
    line = {"inputs": INPUTS["several"], "outputs": OUTPUTS["several"] | {"y": [[2.0, -5.0, 9.0]]}}
    (tmp_path / "data.jsonl").write_text(json.dumps(line))
    evaluation = evaluation_of("tensors")
    with warm_cache().get("several") as model:
        metrics = evaluation.measure(model, evaluation.read(tmp_path / "data.jsonl"))
    assert metrics == {"largest difference": pytest.approx(3.0 / 9)}


def test_a_graph_that_onnx_runtime_cannot_run_is_refused_with_its_reason(tmp_path: Path) -> None:
    edges = [make_tensor_value_info(name, FLOAT, ["n"]) for name in ("x", "y")]
    model = graph([make_node("NoSuchOperator", ["x"], ["y"])], edges[:1], edges[1:])
    onnx.save(model, tmp_path / "unknown.onnx")
    with pytest.raises(RecipeError, match="NoSuchOperator"):
        read(str(tmp_path / "unknown.onnx"), ImportOptions(task="tensors"))


def test_weights_beside_the_graph_come_along(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", FLOAT, [64, 64], np.arange(4096, dtype=np.float32).tobytes(), raw=True)
    edges = [make_tensor_value_info(name, FLOAT, ["n", 64]) for name in ("x", "y")]
    model = graph([make_node("MatMul", ["x", "w"], ["y"])], edges[:1], edges[1:], [weight])
    onnx.save(model, tmp_path / "big.onnx", save_as_external_data=True, location="weights.data", size_threshold=0)
    imported = read(str(tmp_path / "big.onnx"), ImportOptions(task="tensors"))
    build_import(imported.recipe, imported.quantizers, tmp_path / "work", "hearth import")
    session = onnxruntime.InferenceSession(tmp_path / "work/artifact/model.onnx")
    assert session.run(None, {"x": np.ones((1, 64), np.float32)})[0][0, 0] == np.arange(0, 4096, 64).sum()
