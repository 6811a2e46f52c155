"""Folders of image models: classifiers, detectors of DETR's family, segmentation, CLIP and SigLIP, image features.

A folder with safetensors is exported by transformers' own class, so every architecture of transformers with one of
these heads is imported (`picture_networks`). A folder that holds ONNX is taken as it was exported by optimum or for
Transformers.js (`picture_graphs`), without torch.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from hearth.models.heads import Contrastive, Head
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data.images import synthetic_images
from hearth_build.importing import picture_graphs
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions, Precision
from hearth_build.importing.picture_parts import Parts, labels_of
from hearth_build.importing.picture_processors import (
    check_crop,
    describe,
    preprocessing_of,
    read_processor,
    timm_preprocessing,
    with_flags,
)
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.recipe import DynamicInt8, Quantizer, RecipeError

PIXELS = 16_000_000
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
    """Raises RecipeError and DataError."""
    task, is_timm = task_of(source), "pretrained_cfg" in source.config
    if is_timm and not source.graphs:
        raise RecipeError(
            f"{source.folder} holds weights of timm, whose networks are not part of transformers. Export it to ONNX: "
            "torch.onnx.export(timm.create_model(NAME, pretrained=True, exportable=True), ...), and import that file."
        )
    preprocessing = timm_preprocessing(source.config) if is_timm else preprocessing_of(read_processor(source))
    preprocessing = with_flags(preprocessing, options)
    labels = labels_of(source, options)
    quantizers: dict[Precision, Quantizer] = {}
    if source.graphs:
        preprocessing = picture_graphs.fit_to_graph(preprocessing, source)
        parts = picture_graphs.READERS[task](source, preprocessing, labels)
        network = None
    else:
        from hearth_build.importing import picture_networks

        parts = picture_networks.READERS[task](source, preprocessing, labels)
        network = picture_networks.networks_of(parts)
        # Networks of matrices can be quantized without pictures; convolutions need --calibrate on an ONNX file.
        quantizers = {"int8": DynamicInt8()} if picture_networks.has_many_matrices(parts.networks) else {}
    check_crop(preprocessing)
    is_single = bool(source.graphs) and task != "object-detection" and picture_graphs.has_fixed_batch(source)
    recipe = import_recipe(
        source,
        options,
        task=task,
        description=f"An imported {source.model_type or 'timm'} for {task}: {source.title}.",
        labels=parts.labels,
        prepare=lambda work: copy_tokenizer(source, parts.head, work),
        network=(lambda work: network) if network is not None else None,
        graphs=parts.graphs,
        golden=lambda: golden_inputs(task, preprocessing, parts.head),
        preprocessing=preprocessing,
        head=parts.head,
        activation=parts.activation,
        limits=Limits(batch=1 if is_single else 32, pixels=PIXELS),
    )
    form = "ONNX" if source.graphs else "safetensors"
    lines = [
        f"{architecture(source) or source.config.get('architecture')}, {form}: {task}{describe_labels(parts)}",
        f"{describe(preprocessing)} (--resize, --resample, --pixels, --mean, --std)",
    ]
    return ImportedModel(recipe, lines, quantizers)


def describe_labels(parts: Parts) -> str:
    if not parts.labels:
        return ""
    names = ", ".join(parts.labels[:4]) + (", …" if len(parts.labels) > 4 else "")
    return f", {len(parts.labels)} labels ({names}; --labels)"


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


IMPORTERS = (Importer("folders of image models", accepts, read),)
