"""Images with labels: a folder or a zip with one folder per class, or a table of paths and labels."""

from __future__ import annotations

from pathlib import Path

from hearth_build.data.datasets import DataError
from hearth_build.data.files import IMAGES, list_files, main_table, original_of
from hearth_build.data.labelled_texts import LABEL, split_labels
from hearth_build.data.listed_files import listed_files
from hearth_build.data.table_files import SUFFIXES
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a folder or a .zip with one folder of images per class, or a CSV, TSV, XLSX, JSON lines or Parquet file with a "
    "column of paths of images and one of labels"
)
IMAGE = Role(
    "image",
    (
        "image",
        "path",
        "file",
        "filename",
        "file_name",
        "image_path",
        "filepath",
        "img",
        "picture",
        "image_id",
        "id_code",
        "id",
    ),
)


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are DataFiles or bytes, `expected` labels, or tuples of labels. Raises DataError."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return read_listed(path, columns)
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    files = [file for file in list_files(path) if file.path.suffix.lower() in IMAGES]
    # Files beside the folders of the classes, such as an overview, have no label.
    examples = [
        Example(file, file.folder_label(), str(file.path), original_of(file.path.name))
        for file in files
        if len(file.path.parts) > 1
    ]
    labels = {example.expected for example in examples} - {""}
    if len(labels) < 2 and (table := main_table(path)):
        return read_listed(table, columns)
    if not labels:
        tables = ", ".join(str(file) for file in sorted(path.glob("*")) if file.suffix.lower() in SUFFIXES)
        advice = f" Give the table of their labels: {tables}." if tables else ""
        raise DataError(f"{path} has no images in folders of labels; it must be {DATA_FORMAT}.{advice}")
    return examples


def read_listed(path: Path, columns: Columns) -> list[Example]:
    """Read a table of paths. Raises DataError, which names images that are missing."""
    table = read_table(path, (IMAGE, LABEL, GROUP, TIME), columns, flags=LABEL.name)
    labels = split_labels([table.value(row, "label") for row in table.rows])
    files = listed_files(table, "image", IMAGES, "images")
    return [
        Example(file, label, name, table.text(row, "group") or original_of(name), table.text(row, "time"))
        for (file, name), label, row in zip(files, labels, table.rows, strict=True)
    ]
