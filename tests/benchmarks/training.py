"""`hearth train` on files as users have them: `python -m tests.benchmarks.training FOLDER [ROW ...]`.

Each row writes data from HEARTH_DATA into FOLDER in a common form, with the test data in a file of their own, trains
in the time of the row, and keeps what came out in FOLDER/ROW.json; a row that is there is not run again. The table of
all rows goes to docs/testing/results.md.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from PIL import Image

from hearth_build.data.boxes import voc_boxes
from hearth_build.recipes.deepspeech_digits.data import WORDS
from tests.support.record import record

HEARTH_DATA = Path(os.environ.get("HEARTH_DATA", "../shared/data"))
PARTS = ("train", "test")


class Row(NamedTuple):
    """A training: what `write` makes of the published data in a folder, and how `hearth train` is called there."""

    write: Callable[[Path], None]
    arguments: str
    metric: str
    """The metric of the test data, as it stands in the manifest."""
    aim: float
    minutes: int


def held_out(name: str, one_in: int = 10) -> bool:
    """Whether an item belongs to the test data: by a hash, so that the choice depends on nothing but its name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV file as a spreadsheet writes it: with a byte order mark and carriage returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_sst2(folder: Path) -> None:
    for part, source in zip(PARTS, ("train", "dev"), strict=True):
        lines = (HEARTH_DATA / f"sentiment_en/sst2_{source}.tsv").read_text(encoding="utf-8").splitlines()
        write_csv(folder / f"{part}.csv", ("text", "label"), [line.rsplit("\t", 1) for line in lines if line])


def write_chinese(folder: Path) -> None:
    rows = []
    for name in ("chnsenticorp", "waimai"):
        with (HEARTH_DATA / f"sentiment_zh/{name}_train.csv").open(encoding="utf-8", newline="") as file:
            rows += [(row["review"], row["label"]) for row in csv.DictReader(file) if row["review"]]
    for part in PARTS:
        chosen = [row for row in rows if held_out(row[0]) == (part == "test")]
        write_csv(folder / f"{part}.csv", ("review", "label"), chosen)


def write_cifar(folder: Path) -> None:
    """The first 500 images of each class to train with, and 200 others to test with."""
    with tarfile.open(HEARTH_DATA / "image_classification/cifar10_train_jpg.tar.gz") as archive:
        archive.extractall(folder / "all", filter="data")
    for label in sorted((folder / "all/train").iterdir()):
        images = sorted(label.glob("*.jpg"))
        for part, chosen in zip(PARTS, (images[:500], images[500:700]), strict=True):
            (folder / part / label.name).mkdir(parents=True)
            for image in chosen:
                image.rename(folder / part / label.name / image.name)
    shutil.rmtree(folder / "all")


def write_voc(folder: Path) -> None:
    """Images and annotations of Pascal VOC side by side, in a folder a part."""
    with tarfile.open(HEARTH_DATA / "object_detection/bccd_train_val_voc.tar.gz") as archive:
        archive.extractall(folder / "all", filter="data")
    source = folder / "all/BCCD"
    for part, published in zip(PARTS, ("train", "val"), strict=True):
        (folder / part).mkdir(parents=True)
        for name in (source / f"ImageSets/Main/{published}.txt").read_text().split():
            (source / f"JPEGImages/{name}.jpg").rename(folder / part / f"{name}.jpg")
            (source / f"Annotations/{name}.xml").rename(folder / part / f"{name}.xml")
    shutil.rmtree(folder / "all")


def voc_objects(path: Path) -> Iterator[tuple[str, list[float]]]:
    """Label and corners (left, top, right, bottom, in pixels) of each box."""
    return ((box["label"], box["box"]) for box in voc_boxes(ElementTree.parse(path).getroot()))


def write_coco(folder: Path) -> None:
    write_voc(folder)
    labels: list[str] = []
    for part in PARTS:
        images, annotations = [], []
        for number, path in enumerate(sorted((folder / part).glob("*.xml"))):
            with Image.open(path.with_suffix(".jpg")) as image:
                size = {"width": image.width, "height": image.height}
            images.append({"id": number, "file_name": path.with_suffix(".jpg").name, **size})
            for label, (left, top, right, bottom) in voc_objects(path):
                labels += [label] if label not in labels else []
                box = [left, top, right - left, bottom - top]
                category = labels.index(label) + 1
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": category, "bbox": box, "iscrowd": 0}
                )
            path.unlink()
        categories = [{"id": index + 1, "name": label} for index, label in enumerate(labels)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (folder / part / "annotations.json").write_text(json.dumps(document))


def write_yolo(folder: Path) -> None:
    write_voc(folder)
    labels: list[str] = []
    for part in PARTS:
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir()
        for path in sorted((folder / part).glob("*.xml")):
            with Image.open(path.with_suffix(".jpg")) as image:
                width, height = image.size
            lines = []
            for label, (left, top, right, bottom) in voc_objects(path):
                labels += [label] if label not in labels else []
                box = ((left + right) / 2 / width, (top + bottom) / 2 / height)
                size = ((right - left) / width, (bottom - top) / height)
                lines.append(" ".join([str(labels.index(label)), *(f"{value:.6f}" for value in (*box, *size))]))
            (folder / part / "labels" / f"{path.stem}.txt").write_text("\n".join(lines) + "\n")
            path.with_suffix(".jpg").rename(folder / part / "images" / f"{path.stem}.jpg")
            path.unlink()
    for part in PARTS:
        names = "".join(f"  {index}: {label}\n" for index, label in enumerate(labels))
        (folder / part / "data.yaml").write_text(f"path: .\ntrain: images\nnames:\n{names}")


def write_wnut(folder: Path) -> None:
    for part, source in zip(PARTS, ("train", "dev"), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HEARTH_DATA / f"ner/wnut17_{source}.conll", folder / f"{part}.conll")


def write_stsb(folder: Path) -> None:
    for part, source in zip(PARTS, ("train", "dev"), strict=True):
        with (HEARTH_DATA / f"sentence_similarity/stsb-en-{source}.csv").open(encoding="utf-8", newline="") as file:
            write_csv(folder / f"{part}.csv", ("sentence1", "sentence2", "score"), list(csv.reader(file)))


def write_multi30k(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, source in zip(PARTS, ("train", "val"), strict=True):
        for language in ("en", "de"):
            packed = (HEARTH_DATA / f"translation/multi30k_{source}.{language}.gz").read_bytes()
            (folder / f"{part}.{language}").write_bytes(gzip.decompress(packed))


def write_shakespeare(folder: Path) -> None:
    """The last tenth of the text to test with."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (HEARTH_DATA / "gpt_corpus/tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = text.rindex("\n\n", 0, len(text) * 9 // 10)
    for part, chosen in zip(PARTS, (text[:cut], text[cut:].lstrip()), strict=True):
        (folder / f"{part}.txt").write_text(chosen, encoding="utf-8")


def write_fsdd(folder: Path) -> None:
    """The takes 5 to 9 of every digit and speaker to test with."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(HEARTH_DATA / "speech/fsdd_train.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    recordings = sorted((folder / "recordings").glob("*.wav"))
    for part in PARTS:
        chosen = [path for path in recordings if (int(path.stem.split("_")[2]) < 10) == (part == "test")]
        rows = [(path.relative_to(folder), WORDS[int(path.name[0])]) for path in chosen]
        write_csv(folder / f"{part}.csv", ("path", "text"), rows)


CSV = "--data train.csv --test test.csv"
ROWS = {
    "sst2": Row(write_sst2, f"text-classification {CSV}", "accuracy", 0.885, 15),
    "chinese": Row(write_chinese, f"text-classification {CSV}", "accuracy", 0.89, 15),
    "cifar": Row(write_cifar, "image-classification --data train --test test", "accuracy", 0.82, 15),
    "wnut": Row(write_wnut, "token-classification --data train.conll --test test.conll", "F1", 0.33, 15),
    "stsb": Row(write_stsb, f"feature-extraction {CSV}", "Spearman", 0.83, 10),
    "fsdd": Row(write_fsdd, f"automatic-speech-recognition {CSV}", "WER", 0.04, 20),
    "shakespeare": Row(write_shakespeare, "text-generation --data train.txt --test test.txt", "nats", 1.68, 20),
    "yolo": Row(write_yolo, "object-detection --data train --test test", "AP50", 0.87, 30),
    "coco": Row(write_coco, "object-detection --data train --test test", "AP50", 0.87, 30),
    "voc": Row(write_voc, "object-detection --data train --test test", "AP50", 0.87, 30),
    "multi30k": Row(write_multi30k, "translation --data train.en --test test.en", "BLEU", 34, 35),
}


def run(name: str, folder: Path) -> None:
    """Write the data of a row, train, and keep the metrics of the served model, the time and the processor time."""
    row = ROWS[name]
    shutil.rmtree(folder / name, ignore_errors=True)
    row.write(folder / name)
    started, before = time.perf_counter(), os.times()
    command = ["train", *row.arguments.split(), "--name", name, "--minutes", str(row.minutes)]
    with (folder / f"{name}.txt").open("w") as output:
        subprocess.run(
            [sys.executable, "-m", "hearth_build.cli.main", *command],
            cwd=folder / name,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
    after = os.times()
    manifest = json.loads((folder / name / f"build/{name}/artifact/manifest.json").read_text(encoding="utf-8"))
    result = {
        "command": " ".join(["hearth", *command]),
        "seconds": time.perf_counter() - started,
        "processor": after.children_user + after.children_system - before.children_user - before.children_system,
        "chosen": manifest["description"],
        "precision": manifest["quantization"]["method"],
        "metrics": manifest["metrics"]["served"],
    }
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1))


def cells(name: str, result: dict[str, object]) -> str:
    row, metrics = ROWS[name], result["metrics"]
    assert isinstance(metrics, dict)
    test = f"{row.metric} (test)"
    figure = f"{row.metric} {metrics[test]:.3f} ({metrics[f'{test}, low']:.3f} to {metrics[f'{test}, high']:.3f})"
    seconds, processor = float(str(result["seconds"])), float(str(result["processor"]))
    share = processor / seconds / (os.cpu_count() or 1)
    return (
        f"| `{result['command']}` | {result['precision']} | {figure} | {row.aim} | {seconds / 60:.1f} | {share:.0%} |"
    )


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ROWS:
        if not (folder / f"{name}.json").exists():
            run(name, folder)
    there = [name for name in ROWS if (folder / f"{name}.json").exists()]
    lines = [
        "Processor time is a share of all processors: what else ran on the machine is missing from it.",
        "",
        "| command | served | test, 95 % interval | aim | minutes | processor time |",
        "|---|---|---|---:|---:|---:|",
        *(cells(name, json.loads((folder / f"{name}.json").read_text())) for name in there),
    ]
    record("Training on files as users have them", "python -m tests.benchmarks.training FOLDER", "\n".join(lines))


if __name__ == "__main__":
    main()
