"""Import of ONNX files: what is detected, guessed and requested; an artifact gives its network's outputs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")

from torch import Tensor, nn  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from hearth.models.heads import Detector  # noqa: E402
from hearth.models.manifest import parse  # noqa: E402
from hearth.models.model import Model  # noqa: E402
from hearth.ops.vision.images import open_image, to_tensor  # noqa: E402
from hearth_build.cli.main import app as cli  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.data.images import synthetic_images  # noqa: E402
from hearth_build.importing import read  # noqa: E402
from hearth_build.importing.base import ImportedModel, ImportOptions  # noqa: E402
from hearth_build.onnx_export.file import load  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_functions.image_classification import app as classification  # noqa: E402
from hearth_functions.object_detection import app as detection  # noqa: E402

LABELS = ("cat", "dog", "cow")


class Classifier(nn.Module):
    """A classifier that takes NCHW or NHWC and ends with or without a softmax."""

    def __init__(self, nhwc: bool = False, softmax: bool = False, joined: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution, self.linear = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 3)
        self.nhwc, self.softmax, self.joined = nhwc, softmax, joined

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        x = self.convolution(x).relu().mean((2, 3))
        # Many exporters write the batch size into the graph.
        logits: Tensor = self.linear(x.reshape(1, 8) if self.joined else x) * 4
        return logits.softmax(1) if self.softmax else logits


class Grid(nn.Module):
    """A detector of 64 x 64 pixels with cells of 8, 16 and 32 pixels; its output has the columns first or last."""

    def __init__(self, columns_first: bool = False, logits: bool = False, decoded: bool = False) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.heads = nn.ModuleList(nn.Conv2d(3, 8, stride, stride) for stride in (8, 16, 32))
        self.columns_first, self.logits, self.decoded = columns_first, logits, decoded

    def forward(self, x: Tensor) -> Tensor:
        outputs = torch.cat([head(x).flatten(2) for head in self.heads], 2)  # (batch, 8, 84)
        boxes, scores = outputs[:, :4], outputs[:, 4:] * 3
        if self.decoded:
            steps = torch.linspace(2, 62, 84)
            boxes = torch.stack(
                [boxes[:, 0] + steps, boxes[:, 1] + steps, boxes[:, 2].exp() * 9, boxes[:, 3].exp() * 9], 1
            )
        outputs = torch.cat([boxes, scores if self.logits else scores.sigmoid()], 1)
        return outputs if self.columns_first else outputs.transpose(1, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, file in enumerate(synthetic_images()):
        (pictures / f"{number}.png").write_bytes(file)
    return tmp_path


def export_onnx(
    network: nn.Module, path: Path, shape: tuple[int, ...], dynamic_batch: bool = True, opset: int = 17
) -> Path:
    axes = {"x": {0: "n"}, "y": {0: "n"}} if dynamic_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter warns
        torch.onnx.export(
            network.eval(),
            (torch.rand(1, *shape),),
            str(path),
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )
    return path


def flags(folder: Path, task: str, **options: Any) -> ImportOptions:
    defaults: dict[str, Any] = {
        "pixels": "unit",
        "channels": "RGB",
        "resize": "stretch",
        "labels": folder / "labels.txt",
    }
    return ImportOptions(task=task, **{**defaults, **options})  # type: ignore[arg-type]


def build_model(imported: ImportedModel, work: Path) -> Model:
    from hearth_build.pipeline.precision import build_import

    precision = "int8" if imported.quantizers else "fp32"
    manifest, _ = build_import(imported.recipe, imported.quantizers, work, "hearth import", precision)
    return Model(manifest, work / "artifact", threads=1)


@pytest.mark.parametrize(
    ("network", "shape", "dynamic_batch", "opset"),
    [
        (Classifier(), (3, 40, 48), True, 17),
        (Classifier(nhwc=True, softmax=True), (40, 48, 3), True, 17),
        (Classifier(), (3, 40, 48), False, 17),
        (Classifier(joined=True), (3, 40, 48), False, 17),
        (Classifier(), (3, 40, 48), True, 11),
    ],
)
def test_a_classifier_gives_its_networks_scores(
    folder: Path, network: Classifier, shape: tuple[int, ...], dynamic_batch: bool, opset: int
) -> None:
    path = export_onnx(network, folder / "net.onnx", shape, dynamic_batch, opset)
    imported = read(str(path), flags(folder, "image-classification", pixels="imagenet"))
    model = build_model(imported, folder / "work")
    preprocessing, limits = imported.recipe.preprocessing, model.manifest.limits
    pictures = synthetic_images()
    pixels = torch.from_numpy(to_tensor((open_image(file, 10**6) for file in pictures), preprocessing, len(pictures)))
    pixels = pixels.permute(0, 2, 3, 1) if network.nhwc else pixels
    with torch.no_grad():
        raw = torch.cat([network(image[None]) for image in pixels])
    expected = (raw if network.softmax else raw.softmax(1)).numpy()
    assert limits.batch == (1 if network.joined else 32)
    batches = [[file] for file in synthetic_images()] if network.joined else [synthetic_images()]
    rows = [row for batch in batches for row in classification.predict(model, classification.Request(batch)).output]
    for row, scores in zip(rows, expected, strict=True):
        actual = {item.label: item.score for item in row}
        np.testing.assert_allclose([actual[label] for label in LABELS], scores, atol=1e-4)


def test_a_folder_of_pictures_calibrates_int8(folder: Path) -> None:
    path = export_onnx(Classifier(), folder / "net.onnx", (3, 40, 48))
    imported = read(str(path), flags(folder, "image-classification", calibrate=folder / "pictures", name="small"))
    model = build_model(imported, folder / "work")
    assert model.manifest.quantization.method == "static-int8"
    assert model.manifest.model == "small"
    assert model.manifest.metrics.served["largest golden difference"] < 0.05
    served_nodes, fp32_nodes = (
        onnx.load(folder / "work" / name / "model.onnx", load_external_data=False).graph.node
        for name in ("artifact", "fp32")
    )
    convolutions = {node.domain for node in served_nodes if node.op_type == "QLinearConv"}
    assert convolutions == {"com.microsoft"}  # channels last
    assert not [node.op_type for node in fp32_nodes if "nchwc" in node.domain]  # nothing specific to this processor


def test_the_last_convolutions_of_a_detector_stay_fp32(folder: Path) -> None:
    network = Grid()
    path = export_onnx(network, folder / "net.onnx", (3, 64, 64))
    imported = read(str(path), flags(folder, "object-detection", calibrate=folder / "pictures"))
    assert any("stay fp32" in line for line in imported.lines)
    model = build_model(imported, folder / "work")
    # This network has no other convolutions, so its outputs are exact.
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        np.testing.assert_allclose(model.run({"pixels": pixels.numpy()})[0], network(pixels).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("network", "form"),
    [
        (Grid(), "grid"),
        (Grid(columns_first=True, logits=True), "grid"),
        (Grid(columns_first=True, decoded=True), "boxes"),
    ],
)
def test_a_detector_gives_its_networks_scores(folder: Path, network: Grid, form: str) -> None:
    path = export_onnx(network, folder / "net.onnx", (3, 64, 64))
    imported = read(str(path), flags(folder, "object-detection"))
    head = imported.recipe.head
    assert isinstance(head, Detector)
    assert (head.form, head.strides) == (form, (8, 16, 32) if form == "grid" else ())
    model = build_model(imported, folder / "work")
    pixels = to_tensor([open_image(synthetic_images()[0], 10**6)], imported.recipe.preprocessing, 1)
    with torch.no_grad():
        outputs = network(torch.from_numpy(pixels))[0]
        outputs = outputs.T if network.columns_first else outputs
        scores = (outputs[:, 4].sigmoid() if network.logits else outputs[:, 4])[:, None]
        scores = scores * (outputs[:, 5:].sigmoid() if network.logits else outputs[:, 5:])
    parameters = detection.Parameters(threshold=0.0, iou=1.0)
    boxes = detection.predict(model, detection.Request(synthetic_images()[0], parameters)).output
    assert isinstance(boxes, list)
    expected = scores.max(1).values.sort(descending=True).values.numpy()
    np.testing.assert_allclose([box.score for box in boxes], expected[: len(boxes)], atol=1e-4)
    assert len(boxes) > 60


class Selected(nn.Module):
    """A detector that gives the boxes that it has selected, scaled to the size of the picture that it is told."""

    def forward(self, images: Tensor, orig_target_sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shift = images.mean() * 0
        boxes = torch.tensor([[[0.25, 0.25, 0.5, 0.75], [0.3, 0.3, 0.5, 0.7], [0.0, 0.0, 1.0, 0.5]]]) + shift
        labels = torch.tensor([[2, 2, 0]]) + shift.long()
        sizes = orig_target_sizes.repeat(1, 2).float()[:, None]
        return labels, boxes * sizes, torch.tensor([[0.9, 0.8, 0.1]]) + shift


def test_boxes_that_a_graph_has_selected_are_answered_as_they_are(folder: Path) -> None:
    inputs = (torch.rand(1, 3, 64, 64), torch.tensor([[64, 64]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Selected(),
            inputs,
            str(folder / "net.onnx"),
            input_names=["images", "orig_target_sizes"],
            output_names=["labels", "boxes", "scores"],
            opset_version=17,
            dynamo=False,
        )
    imported = read(str(folder / "net.onnx"), flags(folder, "object-detection"))
    assert imported.recipe.head == Detector(form="selected", threshold=0.25, iou=1.0)
    model = build_model(imported, folder / "work")
    boxes = detection.predict(model, detection.Request(synthetic_images()[0])).output  # 64 x 48 pixels
    assert isinstance(boxes, list)
    edges = [(box.label, box.box.xmin, box.box.ymin, box.box.xmax, box.box.ymax) for box in boxes]  # type: ignore[union-attr]
    assert edges == [("cow", 16, 12, 32, 36), ("cow", 19, 14, 32, 34)]  # overlapping boxes stay


def test_all_missing_flags_are_named_at_once(folder: Path) -> None:
    path = export_onnx(Classifier(), folder / "net.onnx", (3, 40, 48))
    with pytest.raises(RecipeError) as caught:
        read(str(path), ImportOptions(task="image-classification"))
    message = str(caught.value)
    assert "input   x: float32 [n, 3, 40, 48]" in message
    assert "output  y: float32 [n, 3]" in message
    assert "opset 17" in message
    for flag in ("--pixels", "--channels", "--resize", "--labels"):
        assert flag in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: {"labels": folder / "none.txt"}, "cannot be read"),
        (lambda folder: {"size": (64, 64)}, "does not fit the graph, which takes 48x40"),
        (lambda folder: {"output": "z"}, "One output"),
        (lambda folder: {"name": "Not A Name"}, "--name takes"),
        (lambda folder: {"calibrate": folder / "work"}, "contains no images"),
        (lambda folder: {"data": folder / "none"}, "does not exist"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    folder: Path, change: Callable[[Path], dict[str, Any]], message: str
) -> None:
    path = export_onnx(Classifier(), folder / "net.onnx", (3, 40, 48))
    (folder / "work").mkdir()
    with pytest.raises((RecipeError, DataError), match=message):
        read(str(path), flags(folder, "image-classification", **change(folder)))


def test_a_wrong_number_of_labels_is_refused(folder: Path) -> None:
    path = export_onnx(Classifier(), folder / "net.onnx", (3, 40, 48))
    (folder / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(RecipeError, match="has 3 classes, --labels has 2 names"):
        read(str(path), flags(folder, "image-classification"))
    with pytest.raises(RecipeError, match="One output of"):
        read(str(path), flags(folder, "object-detection"))


def test_ultralytics_names_and_json_labels_are_read(folder: Path) -> None:
    path = export_onnx(Grid(columns_first=True, decoded=True), folder / "net.onnx", (3, 64, 64))
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"names": str(dict(enumerate(LABELS)))})
    onnx.save(model, str(path))
    assert read(str(path), flags(folder, "object-detection", labels=None)).recipe.labels == LABELS
    (folder / "labels.json").write_text(json.dumps({str(2 - n): label for n, label in enumerate(LABELS)}))
    labels = read(str(path), flags(folder, "object-detection", labels=folder / "labels.json")).recipe.labels
    assert labels == LABELS[::-1]


def test_a_missing_or_broken_onnx_file_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="does not exist"):
        load(folder / "none.onnx")
    (folder / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(RecipeError, match="not a valid ONNX file"):
        load(folder / "bad.onnx")


def test_the_command_imports_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    export_onnx(Classifier(), folder / "net.onnx", (3, 40, 48))
    command = "import net.onnx --task image-classification --labels labels.txt --mean 0.5,0.5,0.5 --std 0.2,0.2,0.2"
    result = CliRunner().invoke(cli, [*command.split(), "--channels", "RGB", "--resize", "letterbox"])
    assert result.exit_code == 0, result.output
    assert "guessed the layout: NCHW" in result.output
    assert "hearth publish build/net/artifact" in result.output
    assert parse((folder / "build/net/artifact/manifest.json").read_bytes()).labels == LABELS
    result = CliRunner().invoke(cli, [*command.split(), "--size", "huge"])
    assert result.exit_code == 2
    assert "format is 224x224" in result.output


class Ending(nn.Module):
    """A classifier with an activation and a node after it."""

    def __init__(self, ending: str) -> None:
        super().__init__()
        self.classifier, self.ending = Classifier(), ending

    def forward(self, x: Tensor) -> Tensor:
        logits = self.classifier(x)
        if self.ending == "softmax, cast":
            return logits.softmax(1).double().float()
        if self.ending == "softmax, reshape":
            return logits.softmax(1).reshape(-1, 3, 1, 1)
        if self.ending == "softmax, identity":
            return nn.Identity()(logits.softmax(1)) * 1.0
        if self.ending == "exponentials":
            exponentials = (logits - logits.max(1, keepdim=True).values).exp()
            return exponentials / exponentials.sum(1, keepdim=True)
        if self.ending == "sigmoid, cast":
            return logits.sigmoid().double().float()
        if self.ending == "log softmax":
            return logits.log_softmax(1)
        if self.ending == "ranks":
            return logits.argsort(1).float() / 4
        return logits


@pytest.mark.parametrize(
    ("ending", "activation"),
    [
        ("softmax, cast", "none"),
        ("softmax, reshape", "none"),
        ("softmax, identity", "none"),
        ("exponentials", "none"),
        ("sigmoid, cast", "none"),
        ("log softmax", "softmax"),
        ("logits", "softmax"),
    ],
)
def test_the_activation_is_inferred_from_the_outputs(folder: Path, ending: str, activation: str) -> None:
    path = export_onnx(Ending(ending), folder / "net.onnx", (3, 32, 32))
    assert read(str(path), flags(folder, "image-classification")).recipe.activation == activation


def test_outputs_that_may_be_either_need_the_flag(folder: Path) -> None:
    path = export_onnx(Ending("ranks"), folder / "net.onnx", (3, 32, 32))
    with pytest.raises(RecipeError, match="--activation"):
        read(str(path), flags(folder, "image-classification"))
    given = read(str(path), flags(folder, "image-classification", activation="sigmoid"))
    assert given.recipe.activation == "sigmoid"


def test_labels_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8-sig")
    path = export_onnx(Classifier(), folder / "net.onnx", (3, 32, 32))
    assert read(str(path), flags(folder, "image-classification")).recipe.labels == LABELS
