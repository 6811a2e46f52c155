"""Our GPT-2 in the format of onnxruntime-genai: the same graph and weights, with the inputs that its loop passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from hearth.models.heads import Decoder
from hearth.models.manifest import parse

END = 1
"""End token that the configuration requires; the engine sets a length instead."""


def write(artifact: Path, folder: Path) -> None:
    """Fill `folder` from an artifact: `attention_mask` replaces `total`, and only the last token's logits are
    returned."""
    model = onnx.load(str(artifact / "model.onnx"), load_external_data=False)
    shutil.copyfile(artifact / "model.bin", folder / "model.bin")
    graph = model.graph
    inputs = [value for value in graph.input if value.name not in ("total", "rows")]
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "all"])
    ending = next(node for node in graph.node if "logits" in node.output)
    if ending.op_type != "Squeeze":
        raise ValueError(f"the graph ends in {ending.op_type}, not in the Squeeze that decoder_graph writes")
    added = [
        helper.make_node("Shape", ["attention_mask"], ["total.wide"], start=1),
        helper.make_node("Cast", ["total.wide"], ["total"], to=TensorProto.INT32),
        helper.make_node("Shape", ["input_ids"], ["new"], start=1),
        helper.make_node("Constant", [], ["one.more"], value_ints=[1]),
        helper.make_node("Sub", ["new", "one.more"], ["rows"]),
    ]
    others = [node for node in graph.node if node is not ending]
    last = helper.make_node("Identity", [ending.input[0]], ["logits"])
    head = parse((artifact / "manifest.json").read_bytes()).head
    assert isinstance(head, Decoder)
    vocabulary = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, vocabulary])
    outputs = list(graph.output)[1:]
    for field, values in (
        ("node", [*added, *others, last]),
        ("input", [*inputs, mask]),
        ("output", [logits, *outputs]),
    ):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "genai_config.json").write_text(json.dumps(settings(head, vocabulary)))


def settings(head: Decoder, vocabulary: int) -> dict[str, object]:
    names = {f"{side}_{part}_names": f"{side}.%d.{part}" for side in ("past", "present") for part in ("key", "value")}
    decoder = {
        "filename": "model.onnx",
        "session_options": {"provider_options": [], "graph_optimization_level": "ORT_DISABLE_ALL"},
        "head_size": head.head_size,
        "hidden_size": head.head_size * head.kv_heads,
        "num_attention_heads": head.kv_heads,
        "num_key_value_heads": head.kv_heads,
        "num_hidden_layers": head.layers,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask"}
        | {name: value for name, value in names.items() if name.startswith("past")},
        "outputs": {"logits": "logits"} | {name: value for name, value in names.items() if name.startswith("present")},
    }
    model = {
        "type": "phi3",  # a generic decoder; genai's "gpt2" uses older names of caches
        "bos_token_id": END,
        "eos_token_id": END,
        "pad_token_id": END,
        "context_length": head.context,
        "vocab_size": vocabulary,
        "decoder": decoder,
    }
    return {"model": model, "search": {"max_length": head.context, "past_present_share_buffer": True}}
