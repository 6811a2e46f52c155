"""The table of docs/import.md: every folder and file of the kit imported, published, asked, and compared.

    HEARTH_DATA=… python -m tests.import_table FOLDER [NAME …] [--write]

`FOLDER` holds what ../shared/kit/checkpoints makes: folders with config.json, and ONNX files. Each is imported in fp32
as `hearth import` does it, its artifact is published into a store, and its answers are compared with transformers',
sentence-transformers' or ONNX Runtime's. `--write` puts the rows into the table of docs/import.md, in the place of
those of the same name.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers

from hearth.errors import HearthError
from hearth.models.model import Model
from hearth.storage.open import open_store
from hearth_build.data.datasets import DataError
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline import measurements
from hearth_build.pipeline.precision import build_import
from hearth_build.recipe import GateError, RecipeError
from hearth_build.release.publish import publish
from tests.import_table import decoders, files, pictures, sound, text
from tests.import_table.speed import Recorder, times_as_fast

Compare = Callable[[Model[Any, Any], Path], float]
COMPARISONS: dict[str, Compare] = {
    **text.COMPARISONS,
    **decoders.COMPARISONS,
    **pictures.COMPARISONS,
    **sound.COMPARISONS,
}
"""Of folders, by task: (loaded artifact, source) -> largest difference from the reference."""
LIMIT = 1e-4
"""Largest difference of a row that counts as served."""
PIXELS: dict[str, Any] = {"pixels": "imagenet", "channels": "RGB", "resize": "stretch"}
CLASSES: dict[str, Any] = {**PIXELS, "task": "image-classification", "labels": Path("a,b,c,d,e,f,g,h,i,j")}
OPTIONS: dict[str, dict[str, Any]] = {
    "wav2vec2-ctc": {"labels": Path("<pad>,<s>,</s>,<unk>,|,A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z,'")},
    "mnist-grey.onnx": CLASSES | {"pixels": "unit", "channels": None},
    "dfine-own-export.onnx": {**PIXELS, "pixels": "unit", "task": "object-detection", "labels": Path("a,b,c")},
    "hf-vit.onnx": CLASSES | {"labels": Path("a,b,c"), "size": (64, 64)},
    "hf-rt-detr.onnx": {**PIXELS, "pixels": "unit", "task": "object-detection", "labels": Path("a,b,c")},
    "hf-segformer.onnx": {**PIXELS, "task": "image-segmentation", "labels": Path("a,b,c")},
}
"""The flags of sources that do not say everything themselves, by name; those of timm and torchvision have `CLASSES`."""


def options_of(path: Path) -> dict[str, Any]:
    return CLASSES if path.name.startswith(("timm-", "torchvision-")) else OPTIONS.get(path.name, {})


@dataclass(frozen=True)
class Row:
    name: str
    form: str
    task: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    difference: float | None = None
    speed: float | None = None
    problem: str = ""

    def markdown(self) -> str:
        served = "yes" if not self.problem else f"no: {self.problem}"
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        size = f"{self.megabytes:.2f}" if self.megabytes else ""
        speed = "" if self.speed is None else f"{self.speed:.2f}"
        cells = (self.name, self.form, self.task, f"{self.seconds:.1f}", size, difference, speed, served)
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| source | form | task | s | MB | difference | times the plain graph's speed | served |\n"
    "|---|---|---|---:|---:|---:|---:|---|"
)


def measure(path: Path) -> Row:
    """Import, publish and compare one source."""
    form = "ONNX file" if path.is_file() else "ONNX folder" if list(path.glob("**/*.onnx")) else "safetensors"
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            imported = read(str(path), ImportOptions(precision="fp32", **options_of(path)))
            if imported.build is None:
                manifest, _ = build_import(imported.recipe, imported.quantizers, work, "hearth import", "fp32")
            else:
                manifest, _ = imported.build(work, "hearth import", "fp32")
            seconds = time.perf_counter() - started
            publish(open_store((work / "store").as_uri()), work / "artifact")
            compare = (files.COMPARISONS if path.is_file() else COMPARISONS)[manifest.task]
            model = Model(manifest, work / "artifact", threads=1)
            recorder = Recorder(model)
            difference = compare(model, path)
            speed = times_as_fast(recorder, imported.recipe, work, path)
            problem = f"differs by {difference:.1e}" if difference > LIMIT else ""
            return Row(path.name, form, manifest.task, seconds, manifest.size / 1e6, difference, speed, problem)
    except (HearthError, DataError, RecipeError, GateError) as error:
        return Row(path.name, form, seconds=time.perf_counter() - started, problem=str(error).replace("\n", " "))
    except Exception as error:  # the table has the defects too
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
        return Row(path.name, form, seconds=time.perf_counter() - started, problem=problem)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.import_table")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true", help="write the table into docs/import.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    measurements.LATENCY_ROUNDS = 1  # speeds are not compared here
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    paths = sorted(path for path in arguments.folder.iterdir() if path.is_dir() or path.suffix == ".onnx")
    rows = []
    print(HEADER)
    for path in paths:
        if not arguments.names or path.name in arguments.names:
            rows.append(measure(path))
            print(rows[-1].markdown(), flush=True)
    served = sum(not row.problem for row in rows)
    print(f"\n{served} of {len(rows)} are served.")
    if arguments.write:
        document = Path("docs/import.md")
        before, _, rest = document.read_text(encoding="utf-8").partition("<!-- imports -->\n")
        table, _, after = rest.partition("\n<!-- end of imports -->")
        lines = {line.split("|")[1].strip(): line for line in table.splitlines()[2:]}
        lines |= {row.name: row.markdown() for row in rows}
        table = "\n".join([HEADER, *(lines[name] for name in sorted(lines))])
        document.write_text(f"{before}<!-- imports -->\n{table}\n<!-- end of imports -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
