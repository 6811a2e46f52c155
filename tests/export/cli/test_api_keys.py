from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from hearth_build.cli.main import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["api-key", *arguments])


def test_the_entry_has_the_hash_of_the_key_that_is_shown_once() -> None:
    result = run("acme", "--models", "sentiment-*, ner-*", "--rate", "2.5", "--burst", "10")
    entry = json.loads(result.stdout)
    key = next(line for line in result.stderr.splitlines() if line.startswith("hearth_"))
    assert hashlib.sha256(key.encode()).hexdigest() in entry.values()
    assert key not in result.stdout
    assert ["sentiment-*", "ner-*"] in entry.values()
    assert key not in run("acme").stderr, "each key is another one"


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "Name a tenant"), (("acme", "--models", ","), "needs at least one pattern")]
)
def test_a_key_without_tenant_or_models_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_the_key_of_a_stack_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_build.cloud.stack.describe_stack", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr("hearth_build.cloud.stack.api_key_of", lambda stack: f"key of {stack.name}")
    assert run("--stack", "live").stdout == "key of live\n"
