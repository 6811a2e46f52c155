"""Training and evaluation of detectors: the loss, average precision, files of boxes; and ResNet's weight names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")
pytest.importorskip("pycocotools", reason="the export extra (pycocotools) is not installed")

from hearth.ops.vision.boxes import decode_grid  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.evaluations.object_detection import EVALUATION, average_precision, difference  # noqa: E402
from hearth_build.networks import yolox, yolox_loss  # noqa: E402
from hearth_build.networks.resnet import ResNet  # noqa: E402
from hearth_build.pipeline.evaluation import examples_from  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_build.recipes.resnet56_cifar10.recipe import rename_weights  # noqa: E402

LABELS = ("cat", "dog")


def truth(label: str, *box: float, crowd: bool = False) -> dict[str, Any]:
    return {"label": label, "box": list(box), "crowd": crowd}


def detection(label: str, score: float, *box: float) -> dict[str, Any]:
    return {"label": label, "score": score, "box": list(box)}


def test_average_precision_of_hand_made_boxes() -> None:
    expected = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 50, 90, 90)], [truth("dog", 10, 10, 60, 60)]]
    correct = [
        [detection("cat", 0.9, 0, 0, 40, 40), detection("cat", 0.8, 50, 50, 90, 90)],
        [detection("dog", 0.7, 10, 10, 60, 60)],
    ]
    assert average_precision(LABELS, expected, correct) == pytest.approx(
        {"AP50": 1, "AP": 1, "AP50 cat": 1, "AP50 dog": 1}, abs=1e-6
    )
    # One of two cats is detected, after a false positive: half the recall at half the precision, at 51 of 101 points.
    half = [[detection("cat", 0.9, 60, 0, 90, 30), detection("cat", 0.8, 0, 0, 40, 40)], []]
    measured = average_precision(LABELS, expected, half)
    assert measured["AP50 cat"] == pytest.approx(0.5 * 51 / 101, abs=1e-6)
    assert measured["AP50 dog"] == 0
    # An overlap of 0.64 counts at 0.5, 0.55 and 0.6, of ten.
    loose = [[detection("cat", 0.9, 0, 0, 32, 32), detection("cat", 0.8, 50, 50, 82, 82)], correct[1]]
    measured = average_precision(LABELS, expected, loose)
    assert measured["AP50"] == pytest.approx(1, abs=1e-6)
    assert measured["AP"] == pytest.approx((0.3 + 1) / 2, abs=1e-6)


def test_no_detections_have_zero_precision() -> None:
    assert average_precision(LABELS, [[truth("cat", 0, 0, 9, 9)]], [[]]) == {"AP50": 0.0, "AP": 0.0}


def test_a_crowd_is_neither_a_miss_nor_a_false_positive() -> None:
    expected = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 0, 200, 90, crowd=True)]]
    detections = [[detection("cat", 0.9, 60, 10, 100, 80), detection("cat", 0.8, 0, 0, 40, 40)]]
    assert average_precision(LABELS, expected, detections)["AP50 cat"] == pytest.approx(1, abs=1e-6)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (100, 80)).save(stream, "PNG")
    return stream.getvalue()


def test_coco_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(picture())
    document = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "iscrowd": 0}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    for path in (tmp_path, tmp_path / "boxes.json"):
        (example,) = examples_from(path, "object-detection")
        assert example.inputs.read() == picture()
        assert example.expected == [truth("dog", 10, 20, 40, 60)]


def test_voc_folders_are_read(tmp_path: Path) -> None:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "JPEGImages" / f"{name}.png").write_bytes(picture())
        box = "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>"
        empty = "<object><name>cat</name><bndbox>" + box.replace("4", "2") + "</bndbox></object>"
        valid = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        (tmp_path / "Annotations" / f"{name}.xml").write_text(f"<annotation>{valid}{empty}</annotation>")
    (tmp_path / "ImageSets/Main/val.txt").write_text("b\n")
    assert len(examples_from(tmp_path, "object-detection")) == 2
    (example,) = examples_from(tmp_path / "ImageSets/Main/val.txt", "object-detection")
    assert example.expected == [truth("cat", 1, 2, 3, 4)]


def test_an_unreadable_file_error_names_the_formats(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text("{}")
    with pytest.raises(DataError, match=r"COCO \.json file"):
        examples_from(tmp_path, "object-detection")


def output(*boxes: dict[str, Any]) -> dict[str, Any]:
    return {"threshold": 0.25, "boxes": list(boxes)}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (output(), output(), 0),
        (output(detection("cat", 0.9, 0, 0, 10, 10)), output(detection("cat", 0.8, 0, 0, 10, 10)), 0.1),
        (output(detection("cat", 0.9, 0, 0, 10, 10)), output(detection("cat", 0.9, 0, 0, 10, 8)), 0.2),
        (output(detection("cat", 0.3, 0, 0, 10, 10)), output(), 0.05),
        (output(), output(detection("dog", 0.75, 0, 0, 10, 10)), 0.5),
        (output(detection("cat", 0.3, 0, 0, 9, 9)), output(detection("dog", 0.35, 0, 0, 9, 9)), 0.1),
    ],
)
def test_difference_of_two_outputs(first: dict[str, Any], second: dict[str, Any], expected: float) -> None:
    assert difference(first, second) == pytest.approx(expected, abs=1e-6)
    assert difference(second, first) == pytest.approx(expected, abs=1e-6)


def test_brief_counts_labels() -> None:
    boxes = [detection("dog", 0.5, 0, 0, 1, 1), detection("cat", 0.5, 0, 0, 1, 1), detection("dog", 0.5, 0, 0, 1, 1)]
    assert EVALUATION.summarize(output(*boxes)) == "1 cat, 2 dog"


def test_training_and_serving_decode_alike() -> None:
    torch.manual_seed(0)
    network = yolox.Yolo(2, widths=(8, 8, 8, 8), neck=8).eval()
    with torch.no_grad():
        boxes, _ = network.raw(torch.rand(2, 3, 64, 96))
        outputs = network(torch.rand(1, 3, 64, 96))
    cells, steps = yolox.grid(96, 64)
    served = decode_grid(boxes.numpy(), 96, 64, yolox.STRIDES)
    np.testing.assert_allclose(yolox.decode(boxes, cells, steps).numpy(), served, atol=1e-3)
    assert outputs.shape == (1, len(cells), 6)


def test_cells_are_assigned_to_the_boxes_around_them() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    boxes = torch.tensor([[[4.0, 4.0, 30.0, 30.0], [34.0, 34.0, 62.0, 60.0], [0.0, 0.0, 0.0, 0.0]]])
    target = yolox_loss.GroundTruth(boxes, torch.tensor([[1, 0, 0]]), torch.tensor([[True, True, False]]))
    predictions = torch.cat([centres - 12, centres + 12], 1)[None]
    assigned = yolox_loss.assign(predictions, torch.full((1, len(cells), 2), 0.1), centres, target)
    assert 0 < int(assigned.positive.sum()) <= 2 * yolox_loss.CELLS_PER_BOX
    for cell in assigned.positive[0].nonzero()[:, 0].tolist():
        low, high = assigned.boxes[0, cell, :2], assigned.boxes[0, cell, 2:]
        assert ((centres[cell] > low) & (centres[cell] < high)).all()
        assert assigned.scores[0, cell].argmax() == (1 if low[0] == 4 else 0)
    assert float(assigned.scores[0, :, 1].max()) == pytest.approx(
        float(yolox_loss.iou(boxes[0, 0], predictions[0]).max()), abs=0.05
    )


def test_the_loss_is_lowest_for_the_right_boxes() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    box = torch.tensor([8.0, 8.0, 40.0, 40.0])
    target = yolox_loss.GroundTruth(box.view(1, 1, 4), torch.tensor([[0]]), torch.tensor([[True]]))
    inside = ((centres > 8) & (centres < 40)).all(1)
    boxes = torch.where(inside[:, None], box, torch.zeros(4))[None]
    logits = torch.where(inside[:, None], torch.tensor([6.0, -6.0]), torch.tensor([-6.0, -6.0]))[None]
    lowest = float(yolox_loss.loss(boxes, logits, centres, target))
    assert lowest < float(yolox_loss.loss(boxes, -logits, centres, target))
    assert lowest < float(yolox_loss.loss(boxes + torch.tensor([0.0, 0.0, 9.0, 0.0]), logits, centres, target))


def test_published_weight_names_of_a_resnet_are_translated() -> None:
    network = ResNet(2)
    published = {}
    for name, value in network.state_dict().items():
        head, _, tail = name.partition(".")
        if head == "blocks":
            number, _, tail = tail.partition(".")
            name = f"layer{int(number) // 2 + 1}.{int(number) % 2}.{tail}"
        else:
            name = {"conv": "conv1", "bn": "bn1", "classifier": "linear"}[head] + f".{tail}"
        published[f"module.{name}"] = value
    weights = rename_weights(published, 2)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    with pytest.raises(RecipeError, match="is not a weight of a ResNet"):
        rename_weights({"module.fc.weight": torch.zeros(1)}, 2)
