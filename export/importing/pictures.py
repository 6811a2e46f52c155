"""Folders of image models: classifiers, detectors of DETR's family, segmentation, CLIP and SigLIP, image features.

A folder with safetensors is exported by transformers' own class, so every architecture of transformers with one of
these heads is imported. A folder that holds ONNX is taken as it was exported (optimum, Transformers.js).
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from hearth.models.heads import Contrastive, Detector, Head, Segmenter
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import to_tensor
from hearth_build.data.images import synthetic_images
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.picture_graphs import (
    detection_graph,
    fixed_batch,
    main_graph,
    measure_scale,
    picture_graph,
    tower,
)
from hearth_build.importing.picture_processors import preprocessing_of, read_processor, timm_preprocessing
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import DynamicInt8, Quantizer, RecipeError

PIXELS = 16_000_000
TEXTS = ("a disc on a blue ground", "stripes", "two red walls and a door", "the sea in the evening")
SOFTMAX_DETECTORS = ("detr", "yolos", "table-transformer")
"""Detectors whose last class is `no object`; others of the family have a sigmoid for each class."""
THRESHOLD = 0.5
"""Smallest score of a box, as in transformers' pipeline."""
TIE = 1e-5
"""Scores of queries that differ by less are equal."""
TASKS = {
    "ForImageClassification": "image-classification",
    "ForImageClassificationWithTeacher": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
}
"""By the ending of the class's name."""
CONTRASTIVE = ("CLIPModel", "SiglipModel", "Siglip2Model", "ChineseCLIPModel", "AltCLIPModel", "CLIPSegModel")
FEATURES = (
    "CLIPVisionModelWithProjection",
    "CLIPVisionModel",
    "SiglipVisionModel",
    "Dinov2Model",
    "Dinov2WithRegistersModel",
    "DINOv3ViTModel",
    "ViTModel",
    "DeiTModel",
    "BeitModel",
    "SwinModel",
    "ConvNextModel",
    "ConvNextV2Model",
    "ResNetModel",
)
"""Models without a head, whose pooled output is the picture's vector."""
Graphs = dict[str, Callable[[nn.Module | None, Path], None]]


@dataclass(frozen=True)
class Parts:
    """What distinguishes the tasks."""

    network: Callable[[], dict[str, nn.Module]] | None
    """The networks of the graphs by role, from safetensors; None: the folder holds ONNX."""
    graphs: Graphs
    labels: tuple[str, ...]
    head: Head | None
    activation: str = "softmax"


def architecture(source: Source) -> str:
    names = source.config.get("architectures") or [""]
    return str(names[0])


def task_of(source: Source) -> str:
    """The task of the saved class; empty if it is none of an image model."""
    name = architecture(source)
    if "pretrained_cfg" in source.config:
        return "image-classification"
    if name in CONTRASTIVE:
        return "zero-shot-image-classification"
    if name in FEATURES:
        return "image-feature-extraction"
    return next((task for ending, task in TASKS.items() if name.endswith(ending)), "")


def accepts(source: Source, options: ImportOptions) -> bool:
    return not source.is_file and bool(task_of(source)) and options.task in (None, task_of(source))


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError."""
    task, is_timm = task_of(source), "pretrained_cfg" in source.config
    if is_timm and not source.graphs:
        raise RecipeError(
            f"{source.folder} holds weights of timm, whose networks are not part of transformers. Export it to ONNX: "
            "torch.onnx.export(timm.create_model(NAME, pretrained=True, exportable=True), ...), and import that file."
        )
    preprocessing = timm_preprocessing(source.config) if is_timm else preprocessing_of(read_processor(source))
    read_parts = {
        "image-classification": classifier,
        "object-detection": detector,
        "image-segmentation": segmenter,
        "zero-shot-image-classification": contrastive,
        "image-feature-extraction": features,
    }[task]
    parts = read_parts(source, preprocessing)
    networks = parts.network() if parts.network else {}
    is_single = task == "image-classification" and bool(source.graphs) and fixed_batch(main_graph(source))
    recipe = import_recipe(
        source,
        options,
        task=task,
        description=f"An imported {source.model_type or 'timm'} for {task}: {source.title}.",
        labels=parts.labels,
        prepare=lambda work: copy_tokenizer(source, parts.head, work),
        network=(lambda work: networks["main"] if len(networks) == 1 else Towers(networks)) if networks else None,
        graphs=parts.graphs,
        golden=lambda: golden_inputs(task, preprocessing, parts.head),
        preprocessing=preprocessing,
        head=parts.head,
        activation=parts.activation,
        limits=Limits(batch=1 if is_single else 32, pixels=PIXELS),
    )
    form = "ONNX" if source.graphs else "safetensors"
    lines = [
        f"{architecture(source) or source.config.get('architecture')}, {form}: {task}",
        f"pictures {preprocessing.width}x{preprocessing.height}, {preprocessing.resize}, {preprocessing.resample}, "
        f"mean {preprocessing.mean}, deviation {preprocessing.std}, scale {preprocessing.scale:g}",
    ]
    return ImportedModel(recipe, lines, quantizers(networks))


def quantizers(networks: dict[str, nn.Module]) -> dict[Any, Quantizer]:
    """Networks of matrices can be quantized without pictures; convolutions need --calibrate on an ONNX file."""
    parameters = sum(weight.numel() for network in networks.values() for weight in network.parameters())
    matrices = sum(
        module.weight.numel()
        for network in networks.values()
        for module in network.modules()
        if isinstance(module, nn.Linear)
    )
    return {"int8": DynamicInt8()} if matrices > parameters / 2 else {}


def golden_inputs(task: str, preprocessing: ImagePreprocessing, head: Head | None) -> list[Any]:
    files = synthetic_images()
    if preprocessing.resize == "keep-aspect":
        files.append(portrait())  # another shape of the graph's input
    if task == "zero-shot-image-classification":
        assert isinstance(head, Contrastive)
        labels = ["a disc on a blue ground", "stripes", "a red wall"]
        return [*({"inputs": file, "candidate_labels": labels} for file in files)]
    return list(files)


def portrait() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(synthetic_images()[1])).transpose(Image.Transpose.ROTATE_90).save(stream, "PNG")
    return stream.getvalue()


def copy_tokenizer(source: Source, head: Head | None, work: Path) -> None:
    if isinstance(head, Contrastive) and head.tokenizer:
        shutil.copyfile(source.folder / "tokenizer.json", work / "tokenizer.json")


def load_model(source: Source) -> Any:
    """The model as transformers loads it, in float32. Raises RecipeError."""
    import transformers

    try:
        model = getattr(transformers, architecture(source)).from_pretrained(
            source.folder, dtype=torch.float32, attn_implementation="eager"
        )
    except (ValueError, AttributeError, OSError, ImportError, RuntimeError) as error:
        raise RecipeError(f"transformers cannot load {source.folder}: {str(error).splitlines()[0][:300]}") from None
    return model.eval()


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
    return traced(
        lambda: {"pixel_values": torch.randn(2, len(preprocessing.mean), height, width)},
        {"pixel_values": {0: "batch", **dynamic}, output: output_axes},
        (output,),
    )


def activation_of(source: Source) -> str:
    return "sigmoid" if source.config.get("problem_type") == "multi_label_classification" else "softmax"


def labels_of(source: Source) -> tuple[str, ...]:
    """The labels of id2label, or of timm's configuration. Raises RecipeError."""
    if names := source.config.get("label_names"):
        descriptions = source.config.get("label_descriptions") or {}
        return tuple(str(descriptions.get(name, name)) for name in names)
    if "pretrained_cfg" in source.config:
        return tuple(map(str, range(source.config.get("num_classes") or 0)))
    return source.labels


def onnx_graph(change: Callable[[], onnx.ModelProto]) -> Callable[[nn.Module | None, Path], None]:
    def write(network: nn.Module | None, path: Path) -> None:
        onnx.save(change(), str(path), save_as_external_data=True, location=f"{path.name}.data")

    return write


def classifier(source: Source, preprocessing: ImagePreprocessing) -> Parts:
    labels = labels_of(source)
    if source.graphs:
        graph = onnx_graph(lambda: picture_graph(main_graph(source), ("logits",)))
        return Parts(None, {"main": graph}, labels, None, activation_of(source))
    model = load_model(source)
    network = Wrapper(model, lambda model, pixels: model(pixel_values=pixels).logits)
    graph = pixel_graph(preprocessing, {0: "batch"}, "logits")
    return Parts(lambda: {"main": network}, {"main": graph}, labels, None, activation_of(source))


def segmenter(source: Source, preprocessing: ImagePreprocessing) -> Parts:
    labels = labels_of(source)
    if source.graphs:
        graph = onnx_graph(lambda: picture_graph(main_graph(source), ("logits",)))
        return Parts(None, {"main": graph}, labels, Segmenter())
    network = Wrapper(load_model(source), lambda model, pixels: model(pixel_values=pixels).logits)
    graph = pixel_graph(preprocessing, {0: "batch", 2: "rows", 3: "columns"}, "logits")
    return Parts(lambda: {"main": network}, {"main": graph}, labels, Segmenter())


def detector(source: Source, preprocessing: ImagePreprocessing) -> Parts:
    labels = labels_of(source)
    softmax = source.model_type in SOFTMAX_DETECTORS
    head = Detector(form="boxes", threshold=THRESHOLD, iou=1.0, normalised=True, multi_label=not softmax)
    if source.graphs:
        graph = onnx_graph(lambda: detection_graph(main_graph(source), softmax, len(labels)))
        return Parts(None, {"main": graph}, labels, head)

    def detect(model: Any, pixels: Tensor) -> Tensor:
        """(batch, queries, 4 + labels)."""
        outputs = model(pixel_values=pixels)
        scores = outputs.logits.softmax(-1)[..., :-1] if softmax else outputs.logits.sigmoid()
        return torch.cat([outputs.pred_boxes, scores], -1)

    model = load_model(source)
    network = Wrapper(model, detect).eval()
    graph = pixel_graph(preprocessing, {0: "batch"}, "detections")
    if chooses_among_equals(model, preprocessing):
        return Parts(None, {"main": lambda _, path: graph(network, path)}, labels, head)
    return Parts(lambda: {"main": network}, {"main": graph}, labels, head)


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


def features(source: Source, preprocessing: ImagePreprocessing) -> Parts:
    if source.graphs:
        raise RecipeError(
            f"{source.folder} holds ONNX of a model without a head. Import its graph with --task tensors, or the "
            "folder with safetensors."
        )
    network = Wrapper(load_model(source), lambda model, pixels: pooled(model(pixel_values=pixels)))
    with torch.no_grad():
        vector = network(torch.zeros(1, 3, min(preprocessing.height, 224), min(preprocessing.width, 224)))
    head = Contrastive(dimensions=int(vector.shape[1]))
    graph = pixel_graph(preprocessing, {0: "batch"}, "image_embeds")
    return Parts(lambda: {"main": network}, {"main": graph}, (), head)


def contrastive(source: Source, preprocessing: ImagePreprocessing) -> Parts:
    is_siglip = source.model_type.startswith("siglip")
    text_config = source.config.get("text_config") or {}
    length = int(text_config.get("max_position_embeddings") or (64 if is_siglip else 77))
    if not (source.folder / "tokenizer.json").is_file():
        raise RecipeError(f"{source.folder} has no tokenizer.json. Save the tokenizer there with save_pretrained().")
    activation = "sigmoid" if is_siglip else "softmax"
    fields: dict[str, Any] = {
        "tokenizer": "tokenizer.json",
        "max_tokens": length,
        "pad_id": pad_token(source, text_config),
        "fixed_length": is_siglip,
    }
    if source.graphs:
        return contrastive_onnx(source, preprocessing, fields, activation)
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
    return Parts(lambda: {"main": image, "text": text}, graphs, (), head, activation)


def pad_token(source: Source, text_config: dict[str, Any]) -> int:
    """The id of the padding token of the tokenizer, or of the text model."""
    settings = source.read_json("tokenizer_config.json").get("pad_token")
    name = settings.get("content") if isinstance(settings, dict) else settings
    found = Tokenizer.from_file(str(source.folder / "tokenizer.json")).token_to_id(name) if name else None
    return int(found if found is not None else text_config.get("pad_token_id") or 0)


def contrastive_onnx(
    source: Source, preprocessing: ImagePreprocessing, fields: dict[str, Any], activation: str
) -> Parts:
    """From one graph with both towers, whose logits give their scale, or from vision_model.onnx and text_model.onnx
    beside it. Raises RecipeError."""
    files = {path.name: path for path in source.graphs}
    whole = main_graph(source)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=fields["pad_id"], length=fields["max_tokens"])
    tokenizer.enable_truncation(fields["max_tokens"])
    ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(TEXTS)], np.int64)
    measured = measure_scale(whole, (preprocessing.height, preprocessing.width), ids)
    if measured is None:
        raise RecipeError(
            f"{whole} has no logits_per_image, image_embeds and text_embeds, so the scale of the scores is unknown. "
            "Give the folder with safetensors, or export the whole model (optimum-cli export onnx)."
        )
    scale, bias = measured
    image_path, text_path = files.get("vision_model.onnx", whole), files.get("text_model.onnx", whole)
    image = tower(image_path, ("pixel_values",), ("image_embeds",))
    dimensions = image.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graphs = {
        "main": onnx_graph(lambda: tower(image_path, ("pixel_values",), ("image_embeds",))),
        "text": onnx_graph(lambda: tower(text_path, ("input_ids", "attention_mask"), ("text_embeds",))),
    }
    head = Contrastive(
        dimensions=dimensions or int(source.config.get("projection_dim") or 512), scale=scale, bias=bias, **fields
    )
    return Parts(None, graphs, (), head, activation)


IMPORTERS = (Importer("folders of image models", accepts, read),)
