"""The template passes the checks, and each of these single bad edits fails them."""

from __future__ import annotations

import pytest

from hearth.task_table import TASKS
from tests.support.layers import FUNCTIONS
from tests.template.edits import EDITS, properties
from tests.template.gate import ACCEPTED, gate
from tests.template.rules import RULES, assertions, findings
from tests.template.stack import TEMPLATE, of_type, read, translate

RESOURCES, ALARMS, LINES = 110, 10, 1_350


def test_the_template_passes() -> None:
    assert gate(read()) == []


@pytest.mark.parametrize("name", EDITS)
def test_a_bad_edit_is_detected(name: str) -> None:
    raw = read()
    EDITS[name](raw)
    try:
        translated = translate(raw)
    except ValueError:
        return
    assert findings(translated), f"no rule objects to: {name}"


def test_a_circular_reference_is_detected_by_the_linter() -> None:
    raw = read()
    properties(raw, "DeadLetters")["RedriveAllowPolicy"]["sourceQueueArns"] = [{"Fn::GetAtt": ["Queue", "Arn"]}]
    assert any("E3004" in finding for finding in gate(raw))


def test_the_rules_cover_the_template() -> None:
    translated = translate(read())
    print(f"{len(RULES)} rules, {assertions()} assertions, {len(EDITS)} mutations")
    assert len(RULES) >= 30
    assert assertions() >= 150
    assert len(EDITS) >= 60
    assert len(translated["Resources"]) <= RESOURCES
    assert len(list(of_type(translated, "CloudWatch::Alarm"))) <= ALARMS
    assert len(TEMPLATE.read_text(encoding="utf-8").splitlines()) <= LINES


def test_functions_have_their_code() -> None:
    raw = read()
    code = {name: properties(raw, name)["CodeUri"] for name in ("Shared", "Jobs", "Catalog", "Release")}
    assert code == {
        "Shared": "functions/",
        "Jobs": "functions/",
        "Catalog": "functions/catalog/",
        "Release": "functions/release/",
    }
    layers = {layer["Ref"] for layer in properties(raw, "Shared")["Layers"]}
    needed = {f"{name.title()}Layer" for row in TASKS.values() for name in FUNCTIONS[row.function]}
    assert layers == needed, "the shared function has the layers of every task"
    assert len(layers) <= 5, "a function has five layers at most"


def test_accepted_findings_have_reasons() -> None:
    assert all(len(reason) > 20 for reason in ACCEPTED.values())
