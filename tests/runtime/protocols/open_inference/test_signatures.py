"""The inputs and outputs of tasks and of bare graphs."""

from __future__ import annotations

from pathlib import Path

from hearth.models.manifest import parse
from hearth.protocols.open_inference.signatures import CODECS, codec_of, graph_signature, task_signature
from hearth.task_table import TASKS
from tests.support.artifacts import make_image_artifact, make_text_artifact


def test_every_task_has_a_codec_and_takes_bytes(tmp_path: Path) -> None:
    manifest = parse((make_text_artifact(tmp_path) / "manifest.json").read_bytes())
    for name, row in TASKS.items():
        assert type(codec_of(name)) is CODECS[row.codec]
        inputs, outputs = task_signature(manifest, name)
        if row.codec in ("tensors", "table", "table_scores"):  # their inputs are those of the graph
            continue
        assert inputs, name
        assert {(tensor.datatype, tensor.shape) for tensor in inputs} == {("BYTES", (-1,))}
        assert (outputs[0].name, outputs[0].datatype, outputs[0].shape) == ("response", "BYTES", (-1,))
        assert outputs[1:] == codec_of(name).outputs(manifest)
    assert codec_of("translation") is codec_of("translation")


def test_a_graph_has_the_manifests_tensors(tmp_path: Path) -> None:
    manifest = parse((make_image_artifact(tmp_path) / "manifest.json").read_bytes())
    (pixels,), (logits,) = graph_signature(manifest, "main")
    assert (pixels.name, pixels.datatype, pixels.shape) == ("pixels", "FP32", (-1, 3, 32, 32))
    assert (logits.name, logits.datatype, logits.shape) == ("logits", "FP32", (-1, 3))
