from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.onnx_folders import adapt, writer
from hearth_build.importing.source import Source
from hearth_build.importing.text_tasks import TextTask
from hearth_build.importing.text_tokenizer import TextTokenizer
from hearth_build.recipe import RecipeError
from tests.export.training.checkpoints import word_tokenizer

TOKENIZER = TextTokenizer(word_tokenizer(("fine",)), has_types=True, pad_id=0)
IDS = np.array([[2, 7, 3], [2, 3, 0]])
MASK = (IDS > 0).astype(np.int64)


def model(*names: str, kind: int = TensorProto.INT32, output: str = "output_0") -> onnx.ModelProto:
    """The sums of all inputs and of a large weight."""
    inputs = [helper.make_tensor_value_info(name, kind, ["b", "s"]) for name in names]
    nodes = [
        helper.make_node("Sum", [f"{name}.float" for name in names], ["sums"]),
        helper.make_node("Unsqueeze", ["sums", "last"], ["column"]),
        helper.make_node("Mul", ["column", "w"], [output]),
    ]
    nodes = [helper.make_node("Cast", [name], [f"{name}.float"], to=TensorProto.FLOAT) for name in names] + nodes
    weights = [
        numpy_helper.from_array(np.ones(400, np.float32), "w"),
        numpy_helper.from_array(np.array([2]), "last"),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", "s", 400])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def adapted(given: onnx.ModelProto, task: TextTask) -> onnx.ModelProto:
    return adapt(Source(Path("/models/a"), "tiny", {}), ImportOptions(), given, task, TOKENIZER)


CLASSIFIER = TextTask("text-classification", ())
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def run(given: onnx.ModelProto, **feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], feeds)[0]


def test_inputs_become_int64_and_the_output_gets_its_name() -> None:
    made = adapted(model(*NAMES), TextTask("text-ranking", (), has_pairs=True))
    assert {value.type.tensor_type.elem_type for value in made.graph.input} == {TensorProto.INT64}
    logits = run(made, input_ids=IDS, attention_mask=MASK, token_type_ids=MASK)
    np.testing.assert_array_equal(logits[:, :, 0], IDS + 2 * MASK)


def test_types_of_tokens_are_zeros_where_texts_stand_alone() -> None:
    made = adapted(model(*NAMES), CLASSIFIER)
    assert [value.name for value in made.graph.input] == ["input_ids", "attention_mask"]
    np.testing.assert_array_equal(run(made, input_ids=IDS, attention_mask=MASK)[:, :, 0], IDS + MASK)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("input_ids",), "with the inputs input_ids; a text encoder's are"),
        ((*NAMES, "pixel_values"), "pixel_values; a text encoder's are"),
    ],
)
def test_other_inputs_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        adapted(model(*names), CLASSIFIER)


def test_a_graph_is_written_with_its_weights_beside_it(tmp_path: Path) -> None:
    made = adapted(model(*NAMES[:2]), CLASSIFIER)
    writer(made)(None, tmp_path / "main.onnx")
    assert (tmp_path / "main.onnx.data").stat().st_size >= 1600
    assert made.graph.initializer[0].raw_data, "the graph itself keeps its weights, to be written again"
