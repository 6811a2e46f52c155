"""Graphs that read a table: scikit-learn's, XGBoost's and LightGBM's exports, and networks of numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from hearth.models.manifest import Limits, Tensor
from hearth.models.preprocessing import Column, TablePreprocessing
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions, Notes, model_name, require_flags
from hearth_build.importing.labels import read_names
from hearth_build.importing.source import Source
from hearth_build.importing.tensors import describe, digest, open_session, remove_zip_maps, signature, zip_map_labels
from hearth_build.onnx_export import file
from hearth_build.onnx_export.example_feeds import WORDS
from hearth_build.recipe import Gate, NoQuantization, Recipe, RecipeError
from hearth_functions.tabular.app import convert_column

if TYPE_CHECKING:
    from torch import nn

CLASSIFICATION, REGRESSION = "tabular-classification", "tabular-regression"
MAX_ROWS = 10_000
ESTIMATORS = ("TreeEnsemble", "LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "ZipMap")
"""Beginnings of the names of operators that only tables have."""
GOLDEN_ROWS = 8


def accepts(source: Source, options: ImportOptions) -> bool:
    if not source.is_file or options.task not in (None, CLASSIFICATION, REGRESSION):
        return False
    if options.task is not None:
        return True
    model = onnx.load(str(source.path), load_external_data=False)
    return any(node.op_type.startswith(ESTIMATORS) for node in model.graph.node) and is_table(model)


def is_table(model: onnx.ModelProto) -> bool:
    """Whether all inputs are columns or matrices, and all outputs too, apart from ZipMap's."""
    inputs, _ = signature(model)
    return bool(inputs) and all(tensor.dtype != "json" and len(tensor.shape) in (1, 2) for tensor in inputs)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError for a graph that reads no table, and with all missing flags."""
    path = source.path
    open_session(path)
    model = file.read(path)
    inputs, outputs = signature(model)
    lines = [f"input   {describe(tensor)}" for tensor in inputs] + [f"output  {describe(tensor)}" for tensor in outputs]
    if not is_table(model):
        raise RecipeError(f"{path.name} reads no table: its inputs must be [rows, columns]. Use --task tensors.")
    notes = Notes()
    columns = columns_of(inputs, options, notes)
    zip_maps = [node for node in model.graph.node if node.op_type == "ZipMap"]
    classes = class_labels(model, zip_maps, options)
    task = options.task or (CLASSIFICATION if classes else REGRESSION)
    remove_zip_maps(model)
    output = scores_output(model, task, options)
    require_flags(path.name, lines + [f"concluded {guess}" for guess in notes.guesses], notes)
    keep_output(model, output)
    rows = draw_rows(inputs, columns)
    width = count_outputs(model, inputs, columns, rows)
    labels = classes if task == CLASSIFICATION else ()
    if task == CLASSIFICATION:
        labels = labels or tuple(map(str, range(max(width, 2))))
        if width == 1 and len(labels) == 2:
            add_complement(model, output)
            notes.guesses.append(f"one number is the score of {labels[1]}")
        elif width != len(labels):
            raise RecipeError(f"Output {output} has {width} scores, but there are {len(labels)} labels: --labels FILE.")
        notes.guesses.append(f"the labels: {', '.join(labels[:20])} (--labels)")
    notes.guesses.append(f"the task: {task} (--task)")
    recipe = Recipe(
        name=model_name(source, options),
        task=task,
        description=f"Imported from {source.title}; columns: {', '.join(column.name for column in columns)}.",
        licence=options.licence or "not stated",
        labels=labels,
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": writer(model)},
        dev={},
        golden=lambda: [rows, rows[:1]],
        preprocessing=TablePreprocessing(columns=columns),
        quantization=NoQuantization(),
        gate=Gate(metric=0.0, quantization_loss=0.0, bytes=2**40, difference=1e-3),
        activation=options.activation or "none",
        limits=Limits(batch=MAX_ROWS),
        parents=(f"{path.name}, SHA-256 {digest(path)}",),
        limitations=("Imported: its training data and its quality are documented only by its authors.",),
    )
    return ImportedModel(recipe, lines + [f"concluded {guess}" for guess in notes.guesses])


def columns_of(inputs: list[Tensor], options: ImportOptions, notes: Notes) -> tuple[Column, ...]:
    """The columns with the inputs that they belong to; an input of one column has its name."""
    widths = [tensor.shape[1] if len(tensor.shape) == 2 else 1 for tensor in inputs]
    names = read_names(options.columns) if options.columns else None
    unknown = [tensor.name for tensor, width in zip(inputs, widths, strict=True) if isinstance(width, str)]
    if unknown and (names is None or len(inputs) > 1):
        notes.missing.append(f"--columns NAMES: the graph does not say how many columns {', '.join(unknown)} has")
        return ()
    counts = [len(names or ()) if isinstance(width, str) else width for width in widths]
    if names is None:
        names = [
            tensor.name if count == 1 else f"{tensor.name.lower()}{index}"
            for tensor, count in zip(inputs, counts, strict=True)
            for index in range(count)
        ]
        if max(counts) > 1:
            notes.guesses.append(f"the names of the columns: {', '.join(names[:20])} (--columns)")
    if len(names) != sum(counts) or len(set(names)) != len(names):
        raise RecipeError(f"--columns has {len(set(names))} different names; the graph has {sum(counts)} columns.")
    owners = [tensor.name for tensor, count in zip(inputs, counts, strict=True) for _ in range(count)]
    return tuple(Column(name, owner) for name, owner in zip(names, owners, strict=True))


def class_labels(model: onnx.ModelProto, zip_maps: list[onnx.NodeProto], options: ImportOptions) -> tuple[str, ...]:
    """The labels of --labels, of ZipMap, or of the classifier's own operator; none if it is none."""
    if options.labels:
        return tuple(read_names(str(options.labels)))
    if labels := zip_map_labels(zip_maps):
        return labels
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("classlabels_strings", "classlabels_int64s", "classlabels_ints"):
                values = helper.get_attribute_value(attribute)
                if len(values):
                    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in values)
    return ()


def scores_output(model: onnx.ModelProto, task: str, options: ImportOptions) -> str:
    """The output with the scores or the numbers. Raises RecipeError."""
    _, outputs = signature(model)
    if options.output:
        outputs = [tensor for tensor in outputs if tensor.name == options.output]
    numbers = [tensor for tensor in outputs if tensor.dtype.startswith("float")]
    if len(numbers) > 1:
        numbers = [tensor for tensor in numbers if len(tensor.shape) == 2]
    if len(numbers) != 1:
        listed = ", ".join(map(describe, signature(model)[1]))
        raise RecipeError(
            f"One output of numbers is needed for {task}; choose it with --output NAME, or import it with "
            f"--task tensors: {listed}."
        )
    return numbers[0].name


def keep_output(model: onnx.ModelProto, name: str) -> None:
    kept = next(value for value in model.graph.output if value.name == name)
    del model.graph.output[:]
    model.graph.output.append(kept)


def draw_rows(inputs: list[Tensor], columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    kinds = {tensor.name: tensor.dtype for tensor in inputs}

    def draw(kind: str) -> Any:
        if kind == "string":
            return str(random.choice(WORDS))
        return round(float(random.normal()), 3) if kind.startswith("float") else int(random.integers(0, 2))

    return [{column.name: draw(kinds[column.input]) for column in columns} for _ in range(GOLDEN_ROWS)]


def count_outputs(
    model: onnx.ModelProto, inputs: list[Tensor], columns: tuple[Column, ...], rows: list[dict[str, Any]]
) -> int:
    """The number of numbers that the graph gives for a row. Raises RecipeError if it does not run."""
    feeds = {}
    for tensor in inputs:
        own = [column.name for column in columns if column.input == tensor.name]
        values = [convert_column(tensor, name, [row[name] for row in rows]) for name in own]
        feeds[tensor.name] = np.stack(values, 1) if len(tensor.shape) > 1 else values[0]
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        numbers = session.run(None, feeds)[0]
    except Exception as error:  # ONNX Runtime's own classes share no narrower base
        raise RecipeError(f"The graph does not run on rows of {len(columns)} columns: {str(error)[:300]}") from None
    return int(np.size(numbers) // len(rows))


def add_complement(model: onnx.ModelProto, name: str) -> None:
    """Turn the score of the second of two labels, (rows, 1), into the scores of both."""
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for index, other in enumerate(names):
                names[index] = f"{name}.second" if other == name else other
    graph.initializer.append(helper.make_tensor(f"{name}.one", TensorProto.FLOAT, [], [1.0]))
    graph.initializer.append(helper.make_tensor(f"{name}.shape", TensorProto.INT64, [2], [-1, 1]))
    graph.node.extend(
        [
            helper.make_node("Reshape", [f"{name}.second", f"{name}.shape"], [f"{name}.column"]),
            helper.make_node("Sub", [f"{name}.one", f"{name}.column"], [f"{name}.first"]),
            helper.make_node("Concat", [f"{name}.first", f"{name}.column"], [name], axis=1),
        ]
    )
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]))


def writer(model: onnx.ModelProto) -> Callable[[nn.Module | None, Path], None]:
    return lambda network, path: onnx.save(model, str(path))


IMPORTERS = (Importer("graphs that read a table", accepts, read),)
