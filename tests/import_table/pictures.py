"""The same picture to an imported folder of an image model and to transformers' model and image processor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from hearth.models.model import Model
from hearth_build.data.images import synthetic_images
from hearth_functions.image_classification import app as image_classification
from hearth_functions.image_embeddings import app as image_embeddings
from hearth_functions.image_segmentation import app as image_segmentation
from hearth_functions.object_detection import app as object_detection

LABELS = ["a disc on a blue ground", "stripes", "a red wall"]
THRESHOLD = 0.05


def photo() -> bytes:
    """A synthetic picture of another aspect ratio than any canvas."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(synthetic_images()[1])).resize((300, 200)).save(stream, "PNG")
    return stream.getvalue()


def reference(folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """transformers' model in fp32, its image processor, and the processed picture."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder, dtype=torch.float32).eval()
    processor = processor_of(folder, config)
    feeds = processor(images=Image.open(io.BytesIO(photo())).convert("RGB"), return_tensors="pt")
    return model, processor, {name: feeds[name] for name in ("pixel_values",)}


def processor_of(folder: Path, config: Any) -> Any:
    """The folder's image processor, or that of the model's family with its size."""
    from transformers.models.auto import image_processing_auto

    from hearth_build.importing.picture_processors import fit_to_model

    name = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES[config.model_type]["pil"]
    if (folder / "preprocessor_config.json").is_file():
        return transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    kind = getattr(transformers, name)
    settings = fit_to_model(kind().to_dict(), config.to_dict())
    return kind(**{key: settings[key] for key in ("size", "crop_size") if settings.get(key)})


def classification(model: Model[Any, Any], folder: Path) -> float:
    network, _, feeds = reference(folder)
    with torch.no_grad():
        expected = network(**feeds).logits[0].tolist()
    parameters = image_classification.Parameters(top_k=len(expected), function_to_apply="none")
    answer = image_classification.predict(model, image_classification.Request(photo(), parameters)).output
    logits = dict(zip(model.manifest.labels, expected, strict=True))
    return max(abs(logits[item.label] - item.score) for item in answer)


def detection(model: Model[Any, Any], folder: Path) -> float:
    """The largest difference of a score or, in pixels, of an edge."""
    network, processor, feeds = reference(folder)
    with torch.no_grad():
        outputs = network(**feeds)
    width, height = Image.open(io.BytesIO(photo())).size
    sizes = torch.tensor([[height, width]])
    expected = processor.post_process_object_detection(outputs, threshold=THRESHOLD, target_sizes=sizes)[0]
    parameters = object_detection.Parameters(threshold=THRESHOLD)
    answer = object_detection.predict(model, object_detection.Request(photo(), parameters)).output
    order = expected["scores"].argsort(descending=True, stable=True)
    scores, boxes = expected["scores"][order].numpy(), expected["boxes"][order].numpy()
    found = np.array([[item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax] for item in answer])
    if len(found) != len(boxes):
        raise ValueError(f"{len(found)} boxes, {len(boxes)} of transformers")
    difference = float(np.abs(np.array([item.score for item in answer]) - scores).max())
    sizes = np.array([width, height] * 2)
    edges = np.abs(found - np.clip(boxes, 0, sizes)).max(1)
    alone = np.abs(np.diff(scores, prepend=2, append=-1)) > 10 * difference  # equal scores have no order
    if edges[alone[1:] & alone[:-1]].max(initial=0) > 0.51:  # edges are answered in whole pixels
        raise ValueError("edges differ from transformers'")
    return difference


def segmentation(model: Model[Any, Any], folder: Path) -> float:
    """The share of pixels with another label."""
    network, processor, feeds = reference(folder)
    with torch.no_grad():
        outputs = network(**feeds)
    width, height = Image.open(io.BytesIO(photo())).size
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=[(height, width)])[0].numpy()
    parameters = image_segmentation.Parameters(mask_format="rle")
    wrong = 0
    for segment in image_segmentation.predict(model, image_segmentation.Request(photo(), parameters)).output:
        mask = np.repeat(np.arange(len(segment.mask.counts)) % 2, segment.mask.counts).reshape(width, height).T
        wrong += int(((expected == model.manifest.labels.index(segment.label)) & (mask == 0)).sum())
    return wrong / expected.size


def zero_shot(model: Model[Any, Any], folder: Path) -> float:
    network, _, feeds = reference(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    is_siglip = network.config.model_type == "siglip"
    options = {"padding": "max_length", "max_length": 64} if is_siglip else {"padding": True}
    texts = tokenizer([f"This is a photo of {label}." for label in LABELS], return_tensors="pt", **options)
    names = ("input_ids",) if is_siglip else ("input_ids", "attention_mask")
    with torch.no_grad():
        logits = network(**feeds, **{name: texts[name] for name in names}).logits_per_image[0]
    expected = logits.sigmoid() if is_siglip else logits.softmax(-1)
    parameters = image_embeddings.Parameters(LABELS)
    answer = image_embeddings.predict(model, image_embeddings.Request(photo(), parameters)).output
    scores = dict(zip(LABELS, expected.tolist(), strict=True))
    return max(abs(scores[item.label] - item.score) for item in answer)


def vectors(model: Model[Any, Any], folder: Path) -> float:
    network, _, feeds = reference(folder)
    with torch.no_grad():
        expected = network(**feeds).pooler_output.flatten(1).numpy()
    parameters = image_embeddings.EmbeddingParameters(normalize=False)
    request = image_embeddings.EmbeddingRequest(photo(), parameters)
    return float(np.abs(np.array(image_embeddings.predict_vectors(model, request).output) - expected).max())


COMPARISONS = {
    "image-classification": classification,
    "object-detection": detection,
    "image-segmentation": segmentation,
    "zero-shot-image-classification": zero_shot,
    "image-feature-extraction": vectors,
}
