"""A version as a folder in the layout of the Hugging Face Hub: model card, config, tokenizer or preprocessor, and the
graph in `onnx/`, as Transformers.js and optimum read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest
from hearth.models.preprocessing import ImagePreprocessing, TextPreprocessing

ARCHITECTURES = {
    "text-classification": "BertForSequenceClassification",
    "token-classification": "BertForTokenClassification",
    "fill-mask": "BertForMaskedLM",
    "question-answering": "BertForQuestionAnswering",
    "feature-extraction": "BertModel",
    "text-ranking": "BertForSequenceClassification",
    "image-classification": "ViTForImageClassification",
}
"""Task -> the class whose inputs and outputs the graph has. The graph itself needs no class."""
OUTPUTS = {
    "question-answering": ("start_logits", "end_logits"),
    "feature-extraction": ("last_hidden_state",),
}
"""Names of the outputs by task; others have `logits`."""
SPECIAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Pillow's numbers."""
MAX_BYTES = 2**31 - 1
"""Largest size of an ONNX file with its weights in it (protocol buffers' limit)."""


def write(manifest: Manifest, source: Path, folder: Path) -> list[Path]:
    """Write the folder, which must not exist, from the artifact in `source`; returns its files.

    Raises BadRequest for a task or a preprocessing that the Hub's libraries have no form for.
    """
    if manifest.task not in ARCHITECTURES:
        raise BadRequest(
            f"Models of {manifest.task} have no form in the Hub's layout that other libraries read; "
            f"{', '.join(ARCHITECTURES)} have one"
        )
    if folder.exists():
        raise BadRequest(f"{folder} exists already; name a new folder")
    files = {"config.json": config(manifest)}
    preprocessing = manifest.preprocessing
    if isinstance(preprocessing, ImagePreprocessing):
        files["preprocessor_config.json"] = preprocessor_config(manifest.model, preprocessing)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "onnx").mkdir(parents=True)
    try:
        if isinstance(preprocessing, TextPreprocessing):
            shutil.copyfile(source / preprocessing.tokenizer, partial / "tokenizer.json")
            files["tokenizer_config.json"] = tokenizer_config(partial / "tokenizer.json", preprocessing)
        for name, content in files.items():
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (partial / name).write_text(text, encoding="utf-8")
        write_graph(manifest, source / manifest.graphs["main"].path, partial / "onnx/model.onnx")
        (partial / "README.md").write_text(card(manifest, source), encoding="utf-8")
        if (source / "report.png").is_file():
            shutil.copyfile(source / "report.png", partial / "report.png")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def config(manifest: Manifest) -> dict[str, Any]:
    preprocessing = manifest.preprocessing
    is_image = isinstance(preprocessing, ImagePreprocessing)
    labels = dict(enumerate(manifest.labels or (("LABEL_0",) if manifest.task == "text-ranking" else ())))
    several = {"problem_type": "multi_label_classification"} if manifest.activation == "sigmoid" and labels else {}
    size = {"image_size": preprocessing.width} if isinstance(preprocessing, ImagePreprocessing) else {}
    return {
        "architectures": [ARCHITECTURES[manifest.task]],
        "model_type": "vit" if is_image else "bert",
        **({"id2label": labels, "label2id": {name: number for number, name in labels.items()}} if labels else {}),
        **several,
        **size,
        # The file onnx/model.onnx is the one that is served, whatever its precision.
        "transformers.js_config": {"dtype": "fp32", "use_external_data_format": False},
    }


def tokenizer_config(path: Path, preprocessing: TextPreprocessing) -> dict[str, Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokens = {
        role: token
        for role, names in SPECIAL_TOKENS.items()
        for token in names
        if tokenizer.token_to_id(token) is not None
    }
    tokens["pad_token"] = tokenizer.id_to_token(preprocessing.pad_id) or tokens.get("pad_token", "[PAD]")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": preprocessing.max_tokens,
        "model_input_names": ["input_ids", "attention_mask"],
        **tokens,
    }


def preprocessor_config(model: str, preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """Raises BadRequest for what the Hub's image processors cannot do."""
    if preprocessing.channels != "RGB" or preprocessing.resize not in ("stretch", "shortest-edge-center-crop"):
        raise BadRequest(
            f"{model} reads {preprocessing.channels} pictures by {preprocessing.resize}, which has no form in the "
            "layout of the Hub"
        )
    size = {"height": preprocessing.height, "width": preprocessing.width}
    common = {
        "do_resize": True,
        "resample": RESAMPLE[preprocessing.resample],
        "do_rescale": True,
        "rescale_factor": 1 / preprocessing.scale,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
    if preprocessing.resize == "stretch" and not preprocessing.before_crop:
        return {"image_processor_type": "ViTImageProcessor", "size": size, **common}
    if preprocessing.resize == "stretch":
        width, height = preprocessing.before_crop
        before: dict[str, int] = {"height": height, "width": width}
    else:
        shortest = preprocessing.before_crop or (min(preprocessing.width, preprocessing.height),)
        before = {"shortest_edge": shortest[0]}
    crop = {"do_center_crop": True, "crop_size": size}
    return {"image_processor_type": "CLIPImageProcessor", "size": before, **crop, **common}


def write_graph(manifest: Manifest, source: Path, target: Path) -> None:
    """Write the graph with its weights in one file, and with the names of inputs and outputs that the Hub's libraries
    use. Raises BadRequest if it is too large."""
    if manifest.size > MAX_BYTES:
        raise BadRequest(f"{manifest.model} is larger than the 2 GB that one ONNX file can have")
    model = onnx.load(source)
    names = dict(zip([item.name for item in model.graph.output], outputs(manifest), strict=False))
    if isinstance(manifest.preprocessing, ImagePreprocessing):
        names[model.graph.input[0].name] = "pixel_values"
    _rename(model.graph, names)
    onnx.save(model, str(target))


def outputs(manifest: Manifest) -> tuple[str, ...]:
    first = manifest.graphs["main"].outputs[0]
    if manifest.task == "feature-extraction" and len(first.shape) == 2:
        return ("sentence_embedding",)
    return OUTPUTS.get(manifest.task, ("logits",))


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values of the outermost graph wherever they are used, in the graphs of branches and loops too."""
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.name = names.get(item.name, item.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, names)


def card(manifest: Manifest, source: Path) -> str:
    """The model card: metadata as the Hub reads it, and the report of the build."""
    import yaml

    metrics = manifest.metrics
    results = [
        {"type": name, "value": round(value, 4)}
        for name, value in metrics.served.items()
        if name == metrics.metric or name.startswith(f"{metrics.metric} (")
    ]
    metadata: dict[str, Any] = {
        "license": manifest.licence.lower(),
        "pipeline_tag": manifest.task,
        "library_name": "transformers.js",
        "tags": ["onnx", "hearth"],
    }
    if results and metrics.dataset:
        dataset = {"name": metrics.dataset, "type": metrics.dataset}
        task = {"type": manifest.task}
        metadata["model-index"] = [
            {"name": manifest.model, "results": [{"task": task, "dataset": dataset, "metrics": results}]}
        ]
    report = source / "report.md"
    body = report.read_text(encoding="utf-8") if report.is_file() else f"# {manifest.model}\n\n{manifest.description}\n"
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{body}"
