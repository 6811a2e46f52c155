"""Functions of single models: the rows of hearth.toml, and the template that they become."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth.errors import BadRequest
from hearth.task_table import TASKS
from hearth_build.cli.main import app
from hearth_build.cloud.dedicated import Configuration, Dedicated, expand, read_configuration
from hearth_build.cloud.sam_deploy import TEMPLATE
from tests.support.layers import TASK_FUNCTIONS
from tests.template.stack import of_type, parse, target, translate

EXAMPLE = """
stack = "films"
most_dollars_a_month = 20
[parameters]
Memory = 2048
[[dedicated]]
model = "my-model.v2"
task = "text-classification"
memory = 3538
concurrency = 5
provisioned = 2
[[dedicated]]
model = "faces"
task = "object-detection"
provider = "openvino"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hearth.toml"
    path.write_text(text)
    return path


def test_the_template_is_unchanged_without_rows() -> None:
    assert expand(TEMPLATE.read_text(), []) == TEMPLATE.read_text()


def test_a_row_becomes_a_function_with_exact_routes_and_its_own_role(tmp_path: Path) -> None:
    path = write(tmp_path, EXAMPLE)
    rows = read_configuration(path).dedicated
    printed = CliRunner().invoke(app, ["template", str(path)]).output
    assert printed == expand(TEMPLATE.read_text(), rows)
    template = translate(parse(printed))
    function = dict(of_type(template, "Lambda::Function"))[rows[0].id]
    assert (function["MemorySize"], function["ReservedConcurrentExecutions"]) == (3538, 5)
    assert function["Environment"]["Variables"]["HEARTH_MODELS"] == "my-model.v2"
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    for prefix in ("/models/{}", "/models/{}/{{proxy+}}", "/v2/models/{}/{{proxy+}}", "/endpoints/{}/invocations"):
        assert rows[0].id in str(paths[prefix.format("my-model.v2")]["post"])
    assert rows[0].id in str(paths["/pipeline/text-classification/my-model.v2"]["post"])
    assert "Shared" in str(paths["/models/{name}"]["post"])
    role = str(template["Resources"][f"{rows[0].id}Role"])
    assert "models/my-model.v2/*" in role
    assert "models/*" not in role
    granted = [target(permission["FunctionName"]) for _, permission in of_type(template, "Lambda::Permission")]
    assert sorted(granted) == sorted(f"{name}Aliaslive" for name in ("Shared", "Catalog", *(row.id for row in rows)))


def test_openvino_takes_the_place_of_the_core_layer() -> None:
    rows = [Dedicated("faces", "object-detection", provider="openvino"), Dedicated("plain", "object-detection")]
    raw = parse(expand(TEMPLATE.read_text(), rows))["Resources"]
    assert [layer["Ref"] for layer in raw["Modelfaces"]["Properties"]["Layers"]] == [
        "OpenvinoLayer",
        "VisionLayer",
        "RuntimeLayer",
    ]
    assert raw["Modelplain"]["Properties"]["Layers"][0] == {"Ref": "CoreLayer"}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_the_layers_of_its_function(task: str) -> None:
    row = Dedicated("model", task)
    raw = parse(expand(TEMPLATE.read_text(), [row]))["Resources"][row.id]["Properties"]
    assert [layer["Ref"] for layer in raw["Layers"]] == [
        f"{name.title()}Layer" for name in TASK_FUNCTIONS[row.row.function]
    ]
    assert raw["CodeUri"] == f"functions/{row.row.function}/"


def test_names_have_different_ids() -> None:
    names = ("a-b", "a.b", "a_b", "ab", "a2db", "0a")
    ids = {Dedicated(name, "text-classification").id for name in names}
    assert len(ids) == len(names)
    assert all(name.isalnum() for name in ids)


def test_a_missing_file_configures_nothing(tmp_path: Path) -> None:
    assert read_configuration(tmp_path / "hearth.toml") == Configuration()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    text = '[[dedicated]]\nmodel = "a"\ntask = "text-classification"\n'
    (tmp_path / "hearth.toml").write_text(text, encoding)
    assert [row.model for row in read_configuration(tmp_path / "hearth.toml").dedicated] == ["a"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[dedicated]]\nmodel = "A"\ntask = "text-classification"', "not the name of a model"),
        ('[[dedicated]]\nmodel = "a"\ntask = "magic"', "task must be one of text-classification"),
        ('[[dedicated]]\nmodel = "a"\ntask = "fill-mask"\nmemory = 1', "memory must be 512 to 10240"),
        ('[[dedicated]]\nmodel = "a"\ntask = "fill-mask"\nseconds = 901', "seconds must be 1 to 900"),
        ('[[dedicated]]\nmodel = "a"\ntask = "fill-mask"\nconcurrency = 1\nprovisioned = 2', "part of concurrency"),
        ('[[dedicated]]\nmodel = "a"\ntask = "fill-mask"\nprovider = "openvino"', "whose input is a picture"),
        (2 * '[[dedicated]]\nmodel = "a"\ntask = "fill-mask"\n', "a has 2 rows"),
        ('[[dedicated]]\nmodel = "a"', "missing required field `task`"),
        ("colour = 1", "unknown field `colour`"),
        ("=", "Invalid"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_configuration(write(tmp_path, text))
    assert sentence in str(caught.value)
