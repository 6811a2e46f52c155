"""Images with labels: a folder or a zip with one folder per class, or a table of paths and labels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hearth_build.data.datasets import DataError
from hearth_build.data.files import IMAGES, DataFile, list_files
from hearth_build.data.labelled_texts import LABEL, split_labels
from hearth_build.data.tables import GROUP, NO_COLUMNS, SUFFIXES, TIME, Columns, Role, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a folder or a .zip with one folder of images per class, or a CSV, TSV, XLSX, JSON lines or Parquet file with a "
    "column of paths of images and one of labels"
)
IMAGE = Role("image", ("image", "path", "file", "filename", "file_name", "image_path", "filepath", "img", "picture"))


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are DataFiles, `expected` labels, or tuples of labels. Raises DataError."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return read_listed(path, columns)
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    files = [file for file in list_files(path) if file.path.suffix.lower() in IMAGES]
    if not any(len(file.path.parts) > 1 for file in files):
        raise DataError(f"{path} has no images in folders; it must be {DATA_FORMAT}.")
    # Files beside the folders of the classes, such as an overview, have no label.
    return [Example(file, file.path.parts[-2], name=str(file.path)) for file in files if len(file.path.parts) > 1]


def read_listed(path: Path, columns: Columns) -> list[Example]:
    """Read a table of paths, relative to the table's folder. Raises DataError, which names images that are missing."""
    table = read_table(path, (IMAGE, LABEL, GROUP, TIME), columns, flags=LABEL.name)
    labels = split_labels([table.value(row, "label") for row in table.rows])
    root = path.parent.resolve()
    names = [table.text(row, "image").replace("\\", "/") for row in table.rows]
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise DataError(f"{len(missing)} of the {len(names)} images of {path} do not exist in {root}: {some}")
    return [
        Example(DataFile(PurePosixPath(name), root), label, name, table.text(row, "group"), table.text(row, "time"))
        for name, label, row in zip(names, labels, table.rows, strict=True)
    ]
