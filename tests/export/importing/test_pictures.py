"""Folders of image models: what transformers computes is what the artifact answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")
transformers = pytest.importorskip("transformers")

from hearth.models.model import Model  # noqa: E402
from hearth_build.data.images import synthetic_images  # noqa: E402
from hearth_build.importing import read  # noqa: E402
from hearth_build.importing.base import ImportOptions  # noqa: E402
from hearth_build.importing.picture_processors import preprocessing_of  # noqa: E402
from hearth_build.pipeline.precision import build_import  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_functions.image_classification import app as classification  # noqa: E402
from hearth_functions.image_segmentation import app as segmentation  # noqa: E402
from hearth_functions.object_detection import app as detection  # noqa: E402

LABELS = {"id2label": {0: "cat", 1: "dog", 2: "cow"}, "label2id": {"cat": 0, "dog": 1, "cow": 2}}
VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "patch_size": 16}


def photo(width: int, height: int) -> bytes:
    """A synthetic picture of this size."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(synthetic_images()[1])).resize((width, height)).save(stream, "PNG")
    return stream.getvalue()


def save(folder: Path, model: Any, processor: Any) -> Any:
    torch.manual_seed(0)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def build_model(folder: Path, work: Path) -> Model:
    imported = read(str(folder), ImportOptions(name="pictures"))
    manifest, _ = build_import(imported.recipe, imported.quantizers, work, "hearth import", "fp32")
    return Model(manifest, work / "artifact", threads=1)


def pixels_of(processor: Any, file: bytes) -> Any:
    return processor(images=Image.open(io.BytesIO(file)).convert("RGB"), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ViTImageProcessorPil", {"size": {"height": 64, "width": 64}}),
        ("DeiTImageProcessorPil", {"size": {"height": 80, "width": 80}, "crop_size": {"height": 64, "width": 64}}),
        ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 64}}),
        ("CLIPImageProcessorPil", {"size": {"shortest_edge": 70}, "crop_size": {"height": 64, "width": 64}}),
        ("EfficientNetImageProcessorPil", {"size": {"height": 64, "width": 64}, "rescale_offset": True}),
        ("MobileViTImageProcessorPil", {"size": {"shortest_edge": 60}, "crop_size": {"height": 64, "width": 64}}),
        ("DetrImageProcessorPil", {"size": {"shortest_edge": 60, "longest_edge": 100}}),
    ],
)
@pytest.mark.parametrize("size", [(97, 61), (50, 131), (64, 64)])
def test_pictures_are_preprocessed_as_transformers_does(
    name: str, options: dict[str, Any], size: tuple[int, int]
) -> None:
    from hearth.ops.vision.images import open_image, to_tensor

    processor = getattr(transformers, name)(**options)
    file = photo(*size)
    actual = to_tensor([open_image(file, 10**6)], preprocessing_of(processor.to_dict()), 1)
    np.testing.assert_allclose(actual, pixels_of(processor, file).numpy(), atol=1e-5)


def check_classifier(folder: Path, model: Any) -> None:
    """The artifact of a classifier for LABELS has the scores of transformers."""
    processor = transformers.ViTImageProcessorPil(size={"height": 64, "width": 64})
    save(folder / "vit", model, processor)
    served = build_model(folder / "vit", folder / "work")
    file = photo(90, 70)
    with torch.no_grad():
        expected = model(pixel_values=pixels_of(processor, file)).logits.softmax(-1)[0].numpy()
    scores = {item.label: item.score for item in classification.predict(served, classification.Request(file)).output}
    np.testing.assert_allclose([scores[label] for label in ("cat", "dog", "cow")], expected, atol=1e-5)


def test_a_classifier_has_the_scores_of_transformers(tmp_path: Path) -> None:
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, **LABELS, image_size=64))
    check_classifier(tmp_path, model)


def test_an_operator_that_tracing_does_not_know_is_exported_another_way(tmp_path: Path) -> None:
    config = transformers.MobileViTV2Config(image_size=64, width_multiplier=0.5, n_attn_blocks=[1, 1, 1], **LABELS)
    model = transformers.MobileViTV2ForImageClassification(config)
    check_classifier(tmp_path, model)


def test_a_detector_that_keeps_the_aspect_ratio_has_the_boxes_of_transformers(tmp_path: Path) -> None:
    config = transformers.YolosConfig(
        **VIT, **LABELS, image_size=[64, 96], num_detection_tokens=10, use_mid_position_embeddings=False
    )
    model = transformers.YolosForObjectDetection(config)
    processor = transformers.YolosImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    save(tmp_path / "yolos", model, processor)
    served = build_model(tmp_path / "yolos", tmp_path / "work")
    for width, height in ((120, 80), (80, 120), (300, 80)):
        file = photo(width, height)
        with torch.no_grad():
            outputs = model(pixel_values=pixels_of(processor, file))
        sizes = torch.tensor([[height, width]])
        expected = processor.post_process_object_detection(outputs, threshold=0.1, target_sizes=sizes)[0]
        request = detection.Request(file, detection.Parameters(threshold=0.1))
        boxes = detection.predict(served, request).output
        assert isinstance(boxes, list)
        assert boxes
        scores = sorted(expected["scores"].tolist(), reverse=True)
        np.testing.assert_allclose([box.score for box in boxes], scores, atol=1e-4)  # type: ignore[union-attr]


def test_segments_are_those_of_transformers(tmp_path: Path) -> None:
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16, **LABELS
    )
    model = transformers.SegformerForSemanticSegmentation(config)
    processor = transformers.SegformerImageProcessorPil(size={"height": 64, "width": 64})
    save(tmp_path / "segformer", model, processor)
    served = build_model(tmp_path / "segformer", tmp_path / "work")
    file = photo(90, 70)
    with torch.no_grad():
        outputs = model(pixel_values=pixels_of(processor, file))
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=[(70, 90)])[0].numpy()
    parameters = segmentation.Parameters(mask_format="rle")
    segments = segmentation.predict(served, segmentation.Request(file, parameters)).output
    assert isinstance(segments, list)
    for segment in segments:
        assert isinstance(segment, segmentation.Segment)
        assert isinstance(segment.mask, segmentation.RunLengths)
        mask = np.repeat(np.arange(len(segment.mask.counts)) % 2, segment.mask.counts).reshape(90, 70).T
        np.testing.assert_array_equal(mask == 1, expected == model.config.label2id[segment.label])
        assert segment.share == pytest.approx(mask.mean())


def test_weights_of_timm_are_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "pretrained_cfg": {}}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(RecipeError, match="Export it to ONNX"):
        read(str(tmp_path), ImportOptions())


def test_a_number_of_labels_that_does_not_fit_the_network_is_refused(tmp_path: Path) -> None:
    network = transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, image_size=64, **LABELS))
    save(tmp_path, network, transformers.ViTImageProcessor(size={"height": 64, "width": 64}))
    imported = read(str(tmp_path), ImportOptions(name="pictures", labels=Path("cat,dog")))
    with pytest.raises(RecipeError, match="`labels` has 2 names, but the graph has 3 logits"):
        build_import(imported.recipe, imported.quantizers, tmp_path / "work", "hearth import", "fp32")
