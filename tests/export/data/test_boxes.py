from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hearth_build.data import boxes
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import examples_from

XML = """<annotation><filename>{name}</filename>
  <object><name> cat </name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
</annotation>"""
EXPECTED = [{"label": "cat", "box": [10.0, 20.0, 50.0, 60.0], "crowd": False}]
NAME = "picture [1] (copy)"


def save(path: Path, size: tuple[int, int] = (200, 100)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A folder as Roboflow exports it, with a hidden file and an image without objects."""
    save(tmp_path / f"train/images/{NAME}.jpg")
    save(tmp_path / "train/images/empty.png")
    (tmp_path / "train/labels").mkdir()
    (tmp_path / f"train/labels/{NAME}.txt").write_text("1 0.15 0.4 0.2 0.4\n\n")
    (tmp_path / "train/.DS_Store").write_bytes(b"\0")
    (tmp_path / "._data.yaml").write_bytes(b"\0\5\x16\7")
    (tmp_path / "data.yaml").write_text("train: ../train/images\nnames: ['dog', 'cat']\n")
    return tmp_path


def test_three_forms_give_the_same_boxes(yolo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save(other / f"voc/JPEGImages/{NAME}.jpg")
    (other / "voc/Annotations").mkdir()
    (other / f"voc/Annotations/{NAME}.xml").write_text(XML)
    (other / "voc/Annotations/.hidden.xml").write_text("broken")
    (other / "voc/ImageSets/Main").mkdir(parents=True)
    save(other / f"coco/images/{NAME}.jpg")
    document = {
        "images": [{"id": 7, "file_name": f"somewhere/{NAME}.jpg"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [10, 20, 40, 40]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    (other / "coco/annotations.json").write_text(json.dumps(document))
    (other / "coco/notes.json").write_text("[]")
    for path in (other / "voc", other / "coco", yolo / "train", yolo / "data.yaml"):
        examples = [example for example in boxes.read(path) if "picture" in example.name]
        found = [{**box, "box": [round(edge, 6) for edge in box["box"]]} for box in examples[0].expected]
        assert found == EXPECTED, path
        assert examples[0].inputs.read()


def test_the_order_of_images_and_boxes_is_the_same_in_all_forms(tmp_path: Path) -> None:
    corners = {"b.png": [[10, 20, 51, 61], [3, 5, 90, 70]], "a.png": [[7, 9, 33, 35]]}
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "yolo/labels").mkdir(parents=True)
    (tmp_path / "yolo/classes.txt").write_text("cat")
    for number, (name, boxes_of_image) in enumerate(corners.items()):
        save(tmp_path / "yolo/images" / name, (640, 480))
        save(tmp_path / "coco/images" / name, (640, 480))
        document["images"].append({"id": number, "file_name": f"train/{name}"})
        lines = []
        for x, y, right, low in boxes_of_image:
            document["annotations"].append(
                {"image_id": number, "category_id": 1, "bbox": [x, y, right - x, low - y], "iscrowd": 0}
            )
            sides = ((x + right) / 1280, (y + low) / 960, (right - x) / 640, (low - y) / 480)
            lines.append("0 " + " ".join(f"{side:.6f}" for side in sides))
        (tmp_path / f"yolo/labels/{name[0]}.txt").write_text("\n".join(reversed(lines)))
    (tmp_path / "coco/annotations.json").write_text(json.dumps(document))
    forms = [[(example.name, example.expected) for example in boxes.read(tmp_path / form)] for form in ("yolo", "coco")]
    assert forms[0] == forms[1]
    assert [name for name, _ in forms[0]] == ["a.png", "b.png"]


def test_an_image_without_text_file_has_no_objects(yolo: Path) -> None:
    (image,) = (example for example in boxes.read(yolo) if example.name == "empty.png")
    assert image.expected == []


def test_lists_of_voc_may_have_blank_lines(tmp_path: Path) -> None:
    save(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(XML)
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("a  1\n   \n\n")
    assert len(boxes.read(tmp_path / "ImageSets/Main/val.txt")) == 1


def test_polygons_become_boxes(yolo: Path) -> None:
    (yolo / f"train/labels/{NAME}.txt").write_text("1 0.05 0.2 0.25 0.2 0.25 0.6 0.05 0.6\n")
    box = boxes.read(yolo)[1].expected or boxes.read(yolo)[0].expected
    assert [round(edge, 6) for edge in box[0]["box"]] == EXPECTED[0]["box"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / f"train/labels/{NAME}.txt").write_text("9 0.1 0.1 0.1 0.1"), r"line 1: '9 0\.1"),
        (lambda folder: (folder / "data.yaml").unlink(), r"no \.yaml or classes\.txt"),
        (lambda folder: (folder / "a.xml").write_text("<broken"), r"a\.xml: "),
    ],
)
def test_what_is_broken_is_named(yolo: Path, change: object, message: str) -> None:
    change(yolo)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        boxes.read(yolo)


def coco(file: Path, *names: str, label: str = "cat") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [{"image_id": n, "category_id": 3, "bbox": [10, 20, 40, 40]} for n in range(len(names))],
        "categories": [{"id": 3, "name": label}],
    }
    file.write_text(json.dumps(document))


def names_of(path: Path) -> list[str]:
    return [str(example.inputs) for example in boxes.read(path)]


def test_coco_is_read_as_its_authors_publish_it(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        save(tmp_path / part / "1.jpg")
        coco(tmp_path / f"annotations/instances_{part}.json", "1.jpg")
        coco(tmp_path / f"annotations/person_keypoints_{part}.json", "1.jpg", label="person")
    assert names_of(tmp_path) == [str(tmp_path / part / "1.jpg") for part in ("train2017", "val2017")]
    assert names_of(tmp_path / "annotations/instances_val2017.json") == [str(tmp_path / "val2017/1.jpg")]


def test_coco_is_read_as_cvat_roboflow_and_windows_write_it(tmp_path: Path) -> None:
    save(tmp_path / "cvat/images/default/1.jpg")
    coco(tmp_path / "cvat/annotations/instances_default.json", "1.jpg")
    assert len(boxes.read(tmp_path / "cvat")) == 1
    for part in ("train", "valid"):
        save(tmp_path / f"roboflow/{part}/{part}.jpg")
        coco(tmp_path / f"roboflow/{part}/_annotations.coco.json", f"{part}.jpg")
    assert [example.name for example in boxes.read(tmp_path / "roboflow")] == ["train.jpg", "valid.jpg"]
    save(tmp_path / "windows/images/1.jpg")
    coco(tmp_path / "windows/result.json", "images\\1.jpg")
    assert len(boxes.read(tmp_path / "windows")) == 1


def test_augmented_copies_of_an_image_are_a_group(tmp_path: Path) -> None:
    names = ["cat_jpg.rf.1a2b.jpg", "cat_jpg.rf.3c4d.jpg", "dog.jpg"]
    for name in names:
        save(tmp_path / name)
    coco(tmp_path / "_annotations.coco.json", *names)
    assert [example.group for example in boxes.read(tmp_path)] == ["cat_jpg", "cat_jpg", ""]


def test_images_of_yolo_are_where_the_yaml_says(tmp_path: Path) -> None:
    save(tmp_path / "datasets/photos/images/train/1.jpg")
    (tmp_path / "datasets/photos/labels/train").mkdir(parents=True)
    (tmp_path / "datasets/photos/labels/train/1.txt").write_text("0 0.5 0.5 0.2 0.2")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/photos.yaml").write_text("path: ../datasets/photos\ntrain: images/train\nnames: {0: cat}\n")
    assert [example.name for example in boxes.read(tmp_path / "configs/photos.yaml")] == ["1.jpg"]


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it and give the folder"):
        boxes.read(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("images/1.jpg", "annotations/1.xml"),
        ("JPEGImages/train/1.jpg", "Annotations/train/1.xml"),
        ("1.jpg", "xml/1.xml"),
        ("train/1.jpg", "train/1.xml"),
    ],
)
def test_images_of_voc_are_found_as_tools_lay_them_out(image: str, annotation: str, tmp_path: Path) -> None:
    save(tmp_path / image)
    (tmp_path / annotation).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / annotation).write_text(XML.format(name="1.jpg"))
    assert names_of(tmp_path) == [str(tmp_path / image)]


def test_pixels_in_files_of_yolo_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "1.jpg")
    (tmp_path / "1.txt").write_text("0 50 50 10 10")
    (tmp_path / "classes.txt").write_text("cat")
    with pytest.raises(DataError, match="as fractions of the image"):
        boxes.read(tmp_path)


def truth(label: str, *box: float, crowd: bool = False) -> dict[str, Any]:
    return {"label": label, "box": list(box), "crowd": crowd}


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
