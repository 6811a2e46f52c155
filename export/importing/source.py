"""What `hearth import` is given: an ONNX file, a folder of a published model or of MLflow, or a hub id, and what else
people try."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth_build.data.files import visible
from hearth_build.recipe import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"
LFS_POINTER = b"version https://git-lfs"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
EXPORT_ADVICE = (
    "Save it with save_pretrained() of transformers, which writes safetensors, or export it to ONNX "
    "(torch.onnx.export, or optimum-cli export onnx)."
)
GENERATORS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel")
"""Endings of classes that write text. They are imported from their safetensors, whatever graphs are beside them."""
OTHER_FORMATS = {
    ".gguf": "GGUF holds weights that llama.cpp has quantized. Import the model that it was made from: its card links "
    "the original with safetensors.",
    ".bin": f"A PyTorch .bin file is a pickle, which may run code when it is opened. {EXPORT_ADVICE}",
    ".pt": f"A PyTorch file is a pickle, which may run code when it is opened. {EXPORT_ADVICE}",
    ".pth": f"A PyTorch file is a pickle, which may run code when it is opened. {EXPORT_ADVICE}",
    ".ckpt": f"A PyTorch checkpoint is a pickle, which may run code when it is opened. {EXPORT_ADVICE}",
    ".msgpack": f"Flax weights are not read. {EXPORT_ADVICE}",
    ".h5": "Keras models are imported as ONNX: export it with model.export(PATH, format='onnx') or tf2onnx.",
    ".keras": "Keras models are imported as ONNX: export it with model.export(PATH, format='onnx').",
    ".pb": "TensorFlow models are imported as ONNX: convert it with python -m tf2onnx.convert --saved-model FOLDER.",
    ".tflite": "TensorFlow Lite models are imported as ONNX: convert it with python -m tf2onnx.convert --tflite FILE.",
    ".mlmodel": "Core ML models are imported as ONNX: export the original model to ONNX.",
    ".pkl": "A pickle may run code when it is opened. Export a scikit-learn model with skl2onnx.to_onnx().",
    ".joblib": "A pickle may run code when it is opened. Export a scikit-learn model with skl2onnx.to_onnx().",
    ".zip": "Unpack the archive and give the folder.",
    ".gz": "Unpack the archive and give the folder.",
    ".tar": "Unpack the archive and give the folder.",
}
"""What cannot be imported by the ending of its name, with a way on."""


@dataclass(frozen=True)
class Source:
    path: Path
    """The ONNX file, or the folder."""
    title: str
    """What the user named: a path's last part, or a hub id with its revision."""
    config: dict[str, Any]
    """config.json; empty without one."""
    graphs: tuple[Path, ...] = ()
    """The ONNX files: the file itself, or those in the folder and in its folder `onnx`."""
    weights: tuple[Path, ...] = ()
    """The safetensors files of the folder."""
    rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda weights: weights
    """Renames weights where one family is imported as another."""

    @property
    def is_file(self) -> bool:
        return self.path.is_file()

    @property
    def folder(self) -> Path:
        return self.path.parent if self.is_file else self.path

    @property
    def generates_text(self) -> bool:
        names = self.config.get("architectures") or [""]
        return str(names[0]).endswith(GENERATORS)

    @property
    def stem(self) -> str:
        """The name from which the model's default name is made."""
        return self.path.stem if self.is_file else self.title.partition("@")[0].rpartition("/")[2]

    @property
    def model_type(self) -> str:
        """As in config.json; `sentence-transformers` for a folder with modules.json."""
        if (self.folder / "modules.json").is_file() and not self.is_file:
            return "sentence-transformers"
        return str(self.config.get("model_type", ""))

    @property
    def architecture(self) -> str:
        """The class of the saved model, such as BertForMaskedLM. Raises RecipeError."""
        architectures = self.config.get("architectures")
        if not isinstance(architectures, list) or len(architectures) != 1:
            raise RecipeError(
                f"{self.path}/config.json has architectures {architectures}; it must name exactly one class, "
                "as save_pretrained() of a model with a head writes it."
            )
        return str(architectures[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of id2label in order. Raises RecipeError."""
        id2label = self.config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # transformers omits its default
        if not isinstance(id2label, dict) or sorted(map(int, id2label)) != list(range(len(id2label))):
            raise RecipeError(f"{self.path}/config.json: id2label must number its labels 0, 1, 2, ...")
        return tuple(str(id2label[key]) for key in sorted(id2label, key=int))

    @property
    def modules(self) -> list[dict[str, Any]]:
        """The modules of a sentence-transformers folder, from modules.json. Raises RecipeError."""
        path = self.folder / "modules.json"
        try:
            return [dict(module) for module in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise RecipeError(f"{path} cannot be read: {error}.") from None

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of a file of the folder, or nothing if it does not exist. Raises RecipeError."""
        path = self.folder / name
        return read_object(path) if path.is_file() else {}

    def load_weights(self) -> dict[str, Tensor]:
        """All tensors by name, from one file or from the shards that an index lists."""
        from safetensors.torch import load_file

        index = self.folder / INDEX
        if not index.is_file():
            return self.rename_weights(load_file(self.folder / "model.safetensors"))
        shards = read_object(index)["weight_map"].values()
        weights: dict[str, Tensor] = {}
        for shard in sorted(set(shards)):
            weights |= load_file(self.folder / shard)
        return self.rename_weights(weights)


def open_source(name: str, revision: str | None = None) -> Source:
    """Find out what the user named, and download or merge it. Raises RecipeError, which says what it is and a way on.

    `revision` is a branch, tag or commit of the hub.
    """
    from hearth_build.importing import adapters, hub, mlflow

    path = Path(name).expanduser()
    if path.is_file():
        return open_file(path)
    if path.is_dir():
        title = path.resolve().name
    elif path.suffix in (".onnx", *OTHER_FORMATS) or name.startswith((".", "/", "~")) or not HUB_ID.fullmatch(name):
        raise RecipeError(
            f"{name} does not exist. Give an .onnx file, the folder of a model, or a hub id such as "
            "sentence-transformers/all-MiniLM-L6-v2."
        )
    else:
        path, title = hub.download(name, revision)
    if mlflow.is_mlflow(path):
        located = mlflow.locate(path)
        return open_file(located) if located.is_file() else open_folder(located, title)
    if adapters.is_adapter(path):
        return adapters.merge(path, title, open_source)
    return open_folder(path, title)


def open_file(path: Path, *, alone: bool = False) -> Source:
    """A graph; with its folder if a config.json there or in the folder above says what it is, unless it is `alone`."""
    if path.suffix in OTHER_FORMATS:
        raise RecipeError(f"{path} cannot be imported. {OTHER_FORMATS[path.suffix]}")
    if path.suffix in (".safetensors", ".json"):
        raise RecipeError(f"{path} is one file of a model. Give its folder: hearth import {path.parent}")
    require_graph(path)
    folder = path.parent.parent if path.parent.name == "onnx" else path.parent
    if not alone and (folder / "config.json").is_file() and path.suffix == ".onnx":
        config = read_object(folder / "config.json")
        if config.get("architectures"):
            return Source(folder, folder.resolve().name, config, graphs=(path,))
    return Source(path, path.name, {}, graphs=(path,))


def require_graph(path: Path) -> None:
    """Raises RecipeError for a file that is no ONNX graph."""
    import onnx

    with path.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise RecipeError(f"{path} is a pointer of Git LFS, not the graph itself. Fetch it: git lfs pull")
    try:
        nodes = len(onnx.load(str(path), load_external_data=False).graph.node)
    except Exception:  # protobuf's own classes share no narrower base
        nodes = 0
    if not nodes:
        raise RecipeError(
            f"{path} is not a valid ONNX file. Give an .onnx file, the folder of a model, or a hub id; if it was "
            "downloaded, its download may have been cut off."
        )


def open_folder(folder: Path, title: str) -> Source:
    graphs = (*_files(folder, "*.onnx"), *_files(folder, "onnx/*.onnx"))
    weights = tuple(_files(folder, "*.safetensors"))
    path = folder / "config.json"
    config = read_object(path) if path.is_file() else {}
    if not graphs and not weights:
        raise RecipeError(f"{folder} {describe_other_content(folder)}")
    return Source(folder, title, config, graphs, weights)


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if visible([path.name]))


def describe_other_content(folder: Path) -> str:
    """What a folder without graphs and without safetensors holds, as the end of a sentence, and a way on."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for file in files:
        if file.suffix in OTHER_FORMATS:
            return f"has neither .onnx nor .safetensors files, but {file.name}. {OTHER_FORMATS[file.suffix]}"
    folders = [path.name for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
    if folders:
        return f"has no model of its own, but its folders {', '.join(folders)} do; give one of them."
    if not files:
        return "is empty. Give the folder of a model, with .onnx or .safetensors files."
    content = f"but {', '.join(file.name for file in files[:5])}"
    return f"has neither .onnx nor .safetensors files, {content}. {EXPORT_ADVICE}"


def require_files(source: Source, names: Sequence[str]) -> None:
    """Raises RecipeError that lists which of these files the folder lacks."""
    missing = [name for name in names if not (source.folder / name).is_file()]
    if missing:
        raise RecipeError(
            f"{source.folder} has no {', '.join(missing)}. Save model and tokenizer there with save_pretrained(); "
            f"required are {', '.join(names)}."
        )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises RecipeError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} must hold a JSON object.")
    return content
