"""What detectors learn from and are judged by: the loss, average precision, files of boxes; and ResNet's names."""

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
from hearth_build.evaluations.object_detection import EVALUATION, difference, precision  # noqa: E402
from hearth_build.networks import yolox, yolox_loss  # noqa: E402
from hearth_build.networks.resnet import ResNet  # noqa: E402
from hearth_build.pipeline.evaluation import examples_from  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_build.recipes.resnet56_cifar10.recipe import rename_weights  # noqa: E402

LABELS = ("cat", "dog")


def truth(label: str, *box: float, crowd: bool = False) -> dict[str, Any]:
    return {"label": label, "box": list(box), "crowd": crowd}


def found(label: str, score: float, *box: float) -> dict[str, Any]:
    return {"label": label, "score": score, "box": list(box)}


def test_precision_of_boxes_made_by_hand() -> None:
    wanted = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 50, 90, 90)], [truth("dog", 10, 10, 60, 60)]]
    right = [
        [found("cat", 0.9, 0, 0, 40, 40), found("cat", 0.8, 50, 50, 90, 90)],
        [found("dog", 0.7, 10, 10, 60, 60)],
    ]
    assert precision(LABELS, wanted, right) == pytest.approx(
        {"AP50": 1, "AP": 1, "AP50 cat": 1, "AP50 dog": 1}, abs=1e-6
    )
    # One of two cats is found, after a false one: half of the recall, at a precision of a half: 51 of 101 points.
    half = [[found("cat", 0.9, 60, 0, 90, 30), found("cat", 0.8, 0, 0, 40, 40)], []]
    measured = precision(LABELS, wanted, half)
    assert measured["AP50 cat"] == pytest.approx(0.5 * 51 / 101, abs=1e-6)
    assert measured["AP50 dog"] == 0
    # An overlap of 0.64 counts at 0.5, 0.55 and 0.6, of ten.
    loose = [[found("cat", 0.9, 0, 0, 32, 32), found("cat", 0.8, 50, 50, 82, 82)], right[1]]
    measured = precision(LABELS, wanted, loose)
    assert measured["AP50"] == pytest.approx(1, abs=1e-6)
    assert measured["AP"] == pytest.approx((0.3 + 1) / 2, abs=1e-6)


def test_nothing_found_is_nothing() -> None:
    assert precision(LABELS, [[truth("cat", 0, 0, 9, 9)]], [[]]) == {"AP50": 0.0, "AP": 0.0}


def test_a_crowd_is_neither_missed_nor_false() -> None:
    wanted = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 0, 200, 90, crowd=True)]]
    given = [[found("cat", 0.9, 60, 10, 100, 80), found("cat", 0.8, 0, 0, 40, 40)]]
    assert precision(LABELS, wanted, given)["AP50 cat"] == pytest.approx(1, abs=1e-6)


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
        assert example.inputs == picture()
        assert example.expected == [truth("dog", 10, 20, 40, 60)]


def test_voc_folders_are_read(tmp_path: Path) -> None:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "JPEGImages" / f"{name}.png").write_bytes(picture())
        box = "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>"
        flat = "<object><name>cat</name><bndbox>" + box.replace("4", "2") + "</bndbox></object>"
        whole = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        (tmp_path / "Annotations" / f"{name}.xml").write_text(f"<annotation>{whole}{flat}</annotation>")
    (tmp_path / "ImageSets/Main/val.txt").write_text("b\n")
    assert len(examples_from(tmp_path, "object-detection")) == 2
    (example,) = examples_from(tmp_path / "ImageSets/Main/val.txt", "object-detection")
    assert example.expected == [truth("cat", 1, 2, 3, 4)]


def test_what_cannot_be_read_says_what_can(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text("{}")
    with pytest.raises(DataError, match=r"COCO \.json file"):
        examples_from(tmp_path, "object-detection")


def answer(*boxes: dict[str, Any]) -> dict[str, Any]:
    return {"threshold": 0.25, "boxes": list(boxes)}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (answer(), answer(), 0),
        (answer(found("cat", 0.9, 0, 0, 10, 10)), answer(found("cat", 0.8, 0, 0, 10, 10)), 0.1),
        (answer(found("cat", 0.9, 0, 0, 10, 10)), answer(found("cat", 0.9, 0, 0, 10, 8)), 0.2),
        (answer(found("cat", 0.3, 0, 0, 10, 10)), answer(), 0.05),
        (answer(), answer(found("dog", 0.75, 0, 0, 10, 10)), 0.5),
        (answer(found("cat", 0.3, 0, 0, 9, 9)), answer(found("dog", 0.35, 0, 0, 9, 9)), 0.1),
    ],
)
def test_the_difference_of_two_answers(one: dict[str, Any], other: dict[str, Any], apart: float) -> None:
    assert difference(one, other) == pytest.approx(apart, abs=1e-6)
    assert difference(other, one) == pytest.approx(apart, abs=1e-6)


def test_brief() -> None:
    boxes = [found("dog", 0.5, 0, 0, 1, 1), found("cat", 0.5, 0, 0, 1, 1), found("dog", 0.5, 0, 0, 1, 1)]
    assert EVALUATION.brief(answer(*boxes)) == "1 cat, 2 dog"


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


def test_cells_are_given_to_the_boxes_around_them() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    boxes = torch.tensor([[[4.0, 4.0, 30.0, 30.0], [34.0, 34.0, 62.0, 60.0], [0.0, 0.0, 0.0, 0.0]]])
    target = yolox_loss.GroundTruth(boxes, torch.tensor([[1, 0, 0]]), torch.tensor([[True, True, False]]))
    guesses = torch.cat([centres - 12, centres + 12], 1)[None]
    assigned = yolox_loss.assign(guesses, torch.full((1, len(cells), 2), 0.1), centres, target)
    assert 0 < int(assigned.positive.sum()) <= 2 * yolox_loss.CELLS_PER_BOX
    for cell in assigned.positive[0].nonzero()[:, 0].tolist():
        low, high = assigned.boxes[0, cell, :2], assigned.boxes[0, cell, 2:]
        assert ((centres[cell] > low) & (centres[cell] < high)).all()
        assert assigned.scores[0, cell].argmax() == (1 if low[0] == 4 else 0)
    assert float(assigned.scores[0, :, 1].max()) == pytest.approx(
        float(yolox_loss.iou(boxes[0, 0], guesses[0]).max()), abs=0.05
    )


def test_the_loss_is_least_for_what_is_right() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    box = torch.tensor([8.0, 8.0, 40.0, 40.0])
    target = yolox_loss.GroundTruth(box.view(1, 1, 4), torch.tensor([[0]]), torch.tensor([[True]]))
    inside = ((centres > 8) & (centres < 40)).all(1)
    right = torch.where(inside[:, None], box, torch.zeros(4))[None]
    sure = torch.where(inside[:, None], torch.tensor([6.0, -6.0]), torch.tensor([-6.0, -6.0]))[None]
    least = float(yolox_loss.loss(right, sure, centres, target))
    assert least < float(yolox_loss.loss(right, -sure, centres, target))
    assert least < float(yolox_loss.loss(right + torch.tensor([0.0, 0.0, 9.0, 0.0]), sure, centres, target))


def test_published_names_of_a_resnet_are_ours() -> None:
    made = ResNet(2)
    published = {}
    for name, value in made.state_dict().items():
        head, _, rest = name.partition(".")
        if head == "blocks":
            number, _, rest = rest.partition(".")
            name = f"layer{int(number) // 2 + 1}.{int(number) % 2}.{rest}"
        else:
            name = {"conv": "conv1", "bn": "bn1", "classifier": "linear"}[head] + f".{rest}"
        published[f"module.{name}"] = value
    back = rename_weights(published, 2)
    assert back.keys() == made.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in made.state_dict().items())
    with pytest.raises(RecipeError, match="is not a weight of a ResNet"):
        rename_weights({"module.fc.weight": torch.zeros(1)}, 2)
