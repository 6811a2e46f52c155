"""Networks of image models with safetensors: transformers' own class, exported by tracing where that is possible."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.onnx.errors import SymbolicValueError, UnsupportedOperatorError

from hearth.models.heads import Contrastive, Segmenter
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import to_tensor
from hearth_build.data.images import synthetic_images
from hearth_build.importing.picture_parts import Parts, activation_of, detector_head, is_softmax, text_fields
from hearth_build.importing.source import Source
from hearth_build.importing.transformers_models import load_model
from hearth_build.onnx_export.export import exported, traced

TIE = 1e-5
"""Scores of queries that differ by less are equal."""


class Towers(nn.Module):
    """The networks of several graphs; each graph is exported from its own."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)


class Wrapper(nn.Module):
    """One output of a model of transformers, for inputs in the order of the graph."""

    def __init__(self, model: nn.Module, compute: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.compute = model, compute

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        return self.compute(self.model, *inputs, *named.values())


def pixel_graph(
    preprocessing: ImagePreprocessing, output_axes: dict[int, str], output: str
) -> Callable[[nn.Module | None, Path], None]:
    """Writes the graph from `pixel_values` (batch, 3, height, width) to `output`."""
    dynamic = {2: "height", 3: "width"} if preprocessing.resize == "keep-aspect" else {}
    height, width = preprocessing.height, preprocessing.width
    if dynamic:  # an aspect ratio of 4 to 3 within the bounds
        width = min(round(height * 4 / 3), width)

    def example() -> dict[str, Tensor]:
        return {"pixel_values": torch.randn(2, len(preprocessing.mean), height, width)}

    axes = {"pixel_values": {0: "batch", **dynamic}, output: output_axes}

    def write(network: nn.Module | None, path: Path) -> None:
        try:
            traced(example, axes, (output,))(network, path)
        except (UnsupportedOperatorError, SymbolicValueError):  # torch's other exporter knows more operators
            exported(example, axes, (output,))(network, path)

    return write


def classifier(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    network = Wrapper(load_model(source), lambda model, pixels: model(pixel_values=pixels).logits)
    graph = pixel_graph(preprocessing, {0: "batch"}, "logits")
    return Parts({"main": graph}, labels, activation=activation_of(source), networks={"main": network})


def segmenter(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    network = Wrapper(load_model(source), lambda model, pixels: model(pixel_values=pixels).logits)
    graph = pixel_graph(preprocessing, {0: "batch", 2: "rows", 3: "columns"}, "logits")
    return Parts({"main": graph}, labels, Segmenter(), networks={"main": network})


def detector(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    softmax, head = is_softmax(source), detector_head(source)

    def detect(model: Any, pixels: Tensor) -> Tensor:
        """(batch, queries, 4 + labels)."""
        outputs = model(pixel_values=pixels)
        scores = outputs.logits.softmax(-1)[..., :-1] if softmax else outputs.logits.sigmoid()
        return torch.cat([outputs.pred_boxes, scores], -1)

    model = load_model(source)
    network = Wrapper(model, detect).eval()
    graph = pixel_graph(preprocessing, {0: "batch"}, "detections")
    if chooses_among_equals(model, preprocessing):
        return Parts({"main": lambda _, path: graph(network, path)}, labels, head)
    return Parts({"main": graph}, labels, head, networks={"main": network})


def chooses_among_equals(model: Any, preprocessing: ImagePreprocessing) -> bool:
    """Whether a two-stage detector takes some of many equal queries, as untrained ones do: then two exact
    implementations give different boxes, so the torch model is no reference for the graph."""
    pixels = to_tensor([Image.open(io.BytesIO(synthetic_images()[0])).convert("RGB")], preprocessing, 1)
    with torch.no_grad():
        candidates = getattr(model(pixel_values=torch.from_numpy(pixels)), "enc_outputs_class", None)
    if candidates is None:
        return False
    best = candidates[0].amax(-1).sort(descending=True).values
    count = int(model.config.num_queries)
    return len(best) > count and float(best[count - 1] - best[count]) < TIE


def pooled(outputs: Any) -> Tensor:
    """The vector of a picture or a text: some versions of transformers return it alone, others with its layers."""
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        vector = getattr(outputs, name, None)
        if vector is not None:
            return vector.flatten(1)  # type: ignore[no-any-return]
    return outputs  # type: ignore[no-any-return]


def features(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    network = Wrapper(load_model(source), lambda model, pixels: pooled(model(pixel_values=pixels)))
    channels = len(preprocessing.mean)
    with torch.no_grad():
        vector = network(torch.zeros(1, channels, min(preprocessing.height, 224), min(preprocessing.width, 224)))
    head = Contrastive(dimensions=int(vector.shape[1]))
    graph = pixel_graph(preprocessing, {0: "batch"}, "image_embeds")
    return Parts({"main": graph}, (), head, networks={"main": network})


def contrastive(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    fields, activation = text_fields(source)
    length, is_siglip = fields["max_tokens"], fields["fixed_length"]
    model = load_model(source)
    image = Wrapper(model, lambda model, pixels: pooled(model.get_image_features(pixel_values=pixels)))
    text = Wrapper(model, lambda model, ids, mask: pooled(model.get_text_features(input_ids=ids, attention_mask=mask)))
    names = ["input_ids"] if is_siglip else ["input_ids", "attention_mask"]
    if is_siglip:
        text = Wrapper(model, lambda model, ids: pooled(model.get_text_features(input_ids=ids)))
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "sequence"} for name in names}
    write_text = traced(
        lambda: {name: torch.ones(2, length if is_siglip else 7, dtype=torch.int64) for name in names},
        {name: {0: "batch"} for name in names} if is_siglip else axes,
        ("text_embeds",),
    )
    write_image = pixel_graph(preprocessing, {0: "batch"}, "image_embeds")

    def from_tower(role: str, write: Callable[[nn.Module | None, Path], None]) -> Callable[..., None]:
        return lambda network, path: write(network.networks[role], path)  # type: ignore[union-attr, index]

    with torch.no_grad():
        dimensions = text(*(torch.ones(1, length, dtype=torch.int64) for _ in names)).shape[1]
    bias = getattr(model, "logit_bias", None)
    head = Contrastive(
        dimensions=int(dimensions),
        scale=float(model.logit_scale.detach().exp()),
        bias=0.0 if bias is None else float(bias.detach()),
        **fields,
    )
    graphs = {"main": from_tower("main", write_image), "text": from_tower("text", write_text)}
    return Parts(graphs, (), head, activation, {"main": image, "text": text})


READERS = {
    "image-classification": classifier,
    "object-detection": detector,
    "image-segmentation": segmenter,
    "zero-shot-image-classification": contrastive,
    "image-feature-extraction": features,
}
"""By task: (source, preprocessing, labels) -> parts. They raise RecipeError."""


def networks_of(parts: Parts) -> nn.Module | None:
    """The network of all graphs."""
    if not parts.networks:
        return None
    return parts.networks["main"] if len(parts.networks) == 1 else Towers(parts.networks)


def has_many_matrices(networks: dict[str, nn.Module]) -> bool:
    """Whether most parameters are those of matrices, which can be quantized without pictures."""
    parameters = sum(weight.numel() for network in networks.values() for weight in network.parameters())
    matrices = sum(
        module.weight.numel()
        for network in networks.values()
        for module in network.modules()
        if isinstance(module, nn.Linear)
    )
    return matrices > parameters / 2
