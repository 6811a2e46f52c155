"""Whether a graph's convolutions are faster in blocks of channels, which ONNX Runtime makes while it loads the graph.

The blocks (NCHWc) are as wide as the registers of the processor, so they cannot be written at export. Depthwise
convolutions of MobileNet and EfficientNet take a quarter of the time in them, those of ResNet-18 a third more; loading
takes 10 to 50 ms longer. So each graph is measured.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx

from hearth.models.model import create_session
from hearth_build.onnx_export.turns import median_seconds

KEY = "hearth.blocked"
"""Of the graph's metadata."""
SPEED = 1.3
"""Least speed in blocks, relative to without, for which the time to make them at each load is paid."""
ROUNDS = 9
SIDE = 224
"""Height and width of pictures whose size is not in the graph."""


def measure(path: Path) -> None:
    """Mark a graph that is faster in blocks. Graphs without convolutions of pictures stay as they are."""
    model = onnx.load(str(path), load_external_data=False)
    inputs = {value.name: value.type.tensor_type for value in model.graph.input}
    has_convolutions = any(node.op_type in ("Conv", "FusedConv") for node in model.graph.node)
    types = {kind.elem_type for kind in inputs.values()}
    if not has_convolutions or len(inputs) != 1 or types != {onnx.TensorProto.FLOAT}:
        return
    ((name, kind),) = inputs.items()
    sizes = [dimension.dim_value for dimension in kind.shape.dim]
    if len(sizes) != 4:
        return
    shape = [size or default for size, default in zip(sizes, (1, 3, SIDE, SIDE), strict=True)]
    feeds = {name: np.random.default_rng(0).standard_normal(shape, np.float32)}
    sessions = [create_session(path, 1, "cpu", keeps_memory=True, blocked=blocked) for blocked in (False, True)]
    plain, blocked = median_seconds([partial(session.run, None, feeds) for session in sessions], ROUNDS)
    if plain > SPEED * blocked:
        model.metadata_props.add(key=KEY, value="true")
        path.write_bytes(model.SerializeToString())


def is_marked(model: onnx.ModelProto) -> bool:
    return any(entry.key == KEY for entry in model.metadata_props)
