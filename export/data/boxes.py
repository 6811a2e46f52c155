"""Images with boxes: COCO, Pascal VOC, and YOLO's text files with their yaml."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml
from PIL import Image

from hearth_build.data.datasets import DataError
from hearth_build.data.files import IMAGES, DataFile, original_of, visible
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a COCO .json file with its images beside it or in `images/`, a Pascal VOC folder (`Annotations/*.xml` and "
    "`JPEGImages/`, or each .xml beside its image), one of VOC's lists, `ImageSets/Main/*.txt`, or YOLO's folder or "
    "yaml (`images/`, `labels/*.txt` and a .yaml or classes.txt with the names)"
)
LARGEST_FRACTION = 1.5
"""Larger values of YOLO's files are no fractions of the image, but pixels."""
Box = dict[str, Any]
"""{"label", "box": [x1, y1, x2, y2] in pixels, "crowd"}."""


def read(path: Path) -> list[Example]:
    """Read images; `expected` is a list of boxes. Raises DataError, which names the file that is broken.

    The forms of the same data give the same examples in the same order, so that trainings of them are alike.
    """
    try:
        return sorted(map(with_alike_boxes, read_form(path)), key=lambda example: example.name)
    except (KeyError, ValueError, TypeError, IndexError, OSError, yaml.YAMLError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path} cannot be read ({reason}); it must be {DATA_FORMAT}.") from None


def with_alike_boxes(example: Example) -> Example:
    """Boxes in the order of their edges, which are rounded: YOLO has fractions of the image with few digits."""
    boxes = [{**box, "box": [round(float(edge), 2) for edge in box["box"]]} for box in example.expected]
    boxes = [box for box in boxes if box["box"][2] > box["box"][0] and box["box"][3] > box["box"][1]]
    boxes.sort(key=lambda box: (box["box"], box["label"]))
    return replace(example, expected=boxes, group=original_of(example.name))


def read_form(path: Path) -> list[Example]:
    """Read images as `read`, in the order of their form."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return read_yolo(yolo_folder(path), path)
    if path.suffix.lower() == ".json":
        return read_coco(path)
    if path.suffix.lower() == ".txt":
        return read_voc(path)
    if path.suffix.lower() == ".zip":
        raise ValueError("unpack it and give the folder")
    if not path.is_dir():
        raise ValueError("it is neither a folder nor a .json, .yaml or .txt file")
    if documents := coco_documents(path):
        return [example for document in documents for example in read_coco(document)]
    if any(visible(file.relative_to(path).parts) for file in path.rglob("*.xml")):
        return read_voc(path)
    return read_yolo(path, names_file(path))


def data_file(path: Path) -> DataFile:
    return DataFile(PurePosixPath(path.name), path.parent)


def coco_documents(folder: Path) -> list[Path]:
    """The COCO files in a folder, or else in those in it: `annotations`, or the parts of Roboflow's form.

    Of several kinds of annotations, `instances_….json` have the boxes.
    """
    for pattern in ("*.json", "*/*.json"):
        files = [file for file in sorted(folder.glob(pattern)) if visible([file.name]) and is_coco(file)]
        if files:
            return [file for file in files if file.name.startswith("instances")] or files
    return []


def is_coco(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= set(document)


def read_coco(path: Path) -> list[Example]:
    document = json.loads(path.read_bytes())
    names = {category["id"]: category["name"] for category in document["categories"]}
    boxes: dict[int, list[Box]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        box = {"label": names[annotation["category_id"]], "box": [x, y, x + width, y + height]}
        boxes[annotation["image_id"]].append({**box, "crowd": bool(annotation.get("iscrowd"))})
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = (path.parent / "images", path.parent, path.parent.parent / "images", *folders_of(path, root))
    examples = []
    for image in document["images"]:
        name = PurePosixPath(image["file_name"].replace("\\", "/"))
        file = next(
            (place for folder in folders for place in (folder / name, folder / name.name) if place.is_file()), None
        )
        if file is None:
            raise ValueError(f"the image {name} is in none of {', '.join(map(str, folders))}")
        examples.append(Example(data_file(file), boxes[image["id"]], file.name))
    return examples


def folders_of(document: Path, root: Path) -> list[Path]:
    """Folders that are named like the part in the name of a COCO file: `train2017` or `images/train2017` of
    `instances_train2017.json`."""
    part = document.stem.removeprefix("instances_")
    return [folder for folder in (root / part, root / "images" / part) if folder.is_dir()]


def read_voc(path: Path) -> list[Example]:
    if path.is_file():
        root = path.parents[2]
        names = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        files = [root / "Annotations" / f"{name}.xml" for name in names]
    else:
        files = [file for file in sorted(path.rglob("*.xml")) if visible(file.relative_to(path).parts)]
    return [voc_example(file) for file in files]


def voc_example(file: Path) -> Example:
    try:
        root = ElementTree.fromstring(file.read_bytes())  # noqa: S314 -- a user's own file
        boxes = voc_boxes(root)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{file.name}: {error}") from None
    stems = (file.stem, Path(root.findtext("filename") or "?").stem)
    images = (image_of(folder, stem) for folder in voc_folders(file.parent) for stem in stems)
    image = next(filter(None, images), None)
    if image is None:
        raise ValueError(f"no image {file.stem} in {', '.join(map(str, voc_folders(file.parent)))}")
    return Example(data_file(image), boxes, image.name)


def voc_folders(folder: Path) -> list[Path]:
    """Where the images of a folder of annotations may be: `JPEGImages/train` or `images/train` for `Annotations/train`,
    the folder itself, and the one above it."""
    folders = [folder]
    for root in folder.parents[:2]:
        below = folder.relative_to(root).parts[1:]
        folders += [root.joinpath(name, *below) for name in ("JPEGImages", "images")]
    return [place for place in (*folders, folder.parent) if place.is_dir()]


def image_of(folder: Path, stem: str) -> Path | None:
    """The image with this stem, which may have brackets and other signs of patterns in it."""
    for suffix in (*sorted(IMAGES), *(suffix.upper() for suffix in sorted(IMAGES))):
        if (file := folder / f"{stem}{suffix}").is_file():
            return file
    return None


def voc_boxes(root: ElementTree.Element) -> list[Box]:
    boxes = []
    for node in root.iter("object"):
        box = [float(node.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        label = (node.findtext("name") or "").strip()
        boxes.append({"label": label, "box": box, "crowd": node.findtext("difficult") == "1"})
    return boxes


def names_file(folder: Path) -> Path:
    """YOLO's file of names, in the folder or above it, where a part of a data set is given. Raises ValueError."""
    for place in (folder, folder / "labels", folder.parent, folder.parent.parent):
        yamls = [*sorted(place.glob("*.yaml")), *sorted(place.glob("*.yml"))]
        for file in (file for file in yamls if visible([file.name])):
            if isinstance(content := yaml.safe_load(file.read_text(encoding="utf-8-sig")), dict) and "names" in content:
                return file
        for name in ("classes.txt", "obj.names", "_darknet.labels"):
            if (place / name).is_file():
                return place / name
    raise ValueError("there is no .json, no .xml, and no .yaml or classes.txt with the names of YOLO's labels")


def read_names(file: Path) -> dict[int, str]:
    """The labels of YOLO by number."""
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    names = yaml.safe_load(text)["names"]
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(number): str(name) for number, name in pairs}


def read_yolo(folder: Path, names: Path) -> list[Example]:
    """Images below a folder with the boxes of their text files; an image without one has no objects."""
    labels = read_names(names)
    images = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in IMAGES and visible(file.relative_to(folder).parts)
    ]
    texts = [label_file(image) for image in images]
    if not any(text.is_file() for text in texts):
        raise ValueError(f"no image below {folder} has a text file in `labels`")
    return [
        Example(data_file(image), yolo_boxes(text, image, labels) if text.is_file() else [], image.name)
        for image, text in zip(images, texts, strict=True)
    ]


def yolo_folder(file: Path) -> Path:
    """The folder of the images of YOLO's yaml: what it calls `path`, if that exists, or its own."""
    content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    folder = file.parent / str(content.get("path") or "") if isinstance(content, dict) else file.parent
    return folder if folder.is_dir() else file.parent


def label_file(image: Path) -> Path:
    """The text file of an image: in `labels` instead of `images`, or beside it."""
    parts = list(image.parts)
    if "images" in parts:
        index = len(parts) - 1 - parts[::-1].index("images")
        return Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
    beside = image.with_suffix(".txt")
    return beside if beside.is_file() else image.parent / "labels" / f"{image.stem}.txt"


def _upright_size(image: Path) -> tuple[int, int]:
    """The size of an image as labelling tools show it. Raises ValueError, which names the image."""
    try:
        with Image.open(image) as header:
            width, height = header.size
            return (height, width) if header.getexif().get(0x0112, 1) >= 5 else (width, height)  # turned by 90 degrees
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{image.name} cannot be decoded: {error}") from None


def yolo_boxes(text: Path, image: Path, labels: dict[int, str]) -> list[Box]:
    """The boxes of a text file: number of the label, then centre and size, or the corners of a polygon, as fractions of
    the image. Raises ValueError, which names the line."""
    lines = [line.split() for line in text.read_text(encoding="utf-8-sig").splitlines()]
    width, height = _upright_size(image)
    boxes: list[Box] = []
    for number, fields in enumerate(lines, 1):
        if not fields:
            continue
        try:
            label, values = labels[int(float(fields[0]))], [float(value) for value in fields[1:]]
            if max(values) > LARGEST_FRACTION:
                raise ValueError
            edges = polygon(values) if len(values) > 5 else centre(values[:4])
        except (ValueError, KeyError):
            raise ValueError(
                f"{text}, line {number}: {' '.join(fields[:6])!r} is not `label x y width height` as fractions "
                f"of the image; labels: {labels}"
            ) from None
        box = [edge * side for edge, side in zip(edges, (width, height, width, height), strict=True)]
        boxes.append({"label": label, "box": box, "crowd": False})
    return boxes


def centre(values: Sequence[float]) -> list[float]:
    x, y, width, height = values
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def polygon(values: Sequence[float]) -> list[float]:
    return [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
