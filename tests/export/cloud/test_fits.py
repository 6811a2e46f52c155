"""A model that does not fit its function: what is said when it is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from hearth.models.heads import Decoder
from hearth.models.manifest import File, Manifest, parse
from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.cloud import fits
from hearth_build.cloud.dedicated import Configuration, Dedicated, read_configuration
from hearth_build.cloud.parameters import Template
from tests.support import ROOT
from tests.support.artifacts import make_text_artifact
from tests.support.s3 import CREDENTIALS, client, moto_s3


@pytest.fixture
def small(tmp_path: Path) -> Manifest:
    return parse((make_text_artifact(tmp_path) / "manifest.json").read_bytes())


def large(manifest: Manifest, megabytes: int, **change: Any) -> Manifest:
    """The manifest with one more file, which no check of chunks looks at."""
    weights = File("weights.bin", megabytes * 10**6, "0" * 64, ("0" * 64,) * -(-megabytes * 10**6 // (8 << 20)))
    return replace(manifest, files=(*manifest.files, weights), **change)


def test_the_defaults_are_those_of_the_template() -> None:
    parameters = Template.read(ROOT / "template.yaml").parameters
    assert {name: int(parameters[name].default or "") for name in fits.DEFAULTS} == fits.DEFAULTS


def test_a_small_model_fits(small: Manifest) -> None:
    assert fits.advice(small, Configuration()) == ""


def test_keys_and_values_count(small: Manifest) -> None:
    decoder = replace(small, task="text-generation", head=Decoder(layers=10, kv_heads=4, head_size=64, context=2048))
    added = fits.needs_of(decoder).memory - fits.needs_of(small).memory
    assert added == pytest.approx(2 * 10 * 4 * 64 * 2048 * 4 / 1e6, abs=1)


def test_what_to_write_is_what_makes_it_fit(small: Manifest, tmp_path: Path) -> None:
    manifest = large(small, 1100)
    text = fits.advice(manifest, Configuration())
    assert "needs about 2,451 MB of memory and 1,101 MB of disk; the shared function of hearth.toml has 1,769" in text
    lines = text.splitlines()
    (tmp_path / "hearth.toml").write_text("\n".join(lines[2:]), encoding="utf-8")
    assert fits.advice(manifest, read_configuration(tmp_path / "hearth.toml")) == ""


def test_a_row_that_is_too_small_is_named(small: Manifest) -> None:
    row = Dedicated(small.model, small.task, memory=1024)
    configuration = Configuration(parameters={"ScratchMegabytes": 2048, "CacheMegabytes": 1900}, dedicated=[row])
    text = fits.advice(large(small, 600), configuration)
    assert "its function of hearth.toml has 1,024 MB and 1,900 MB" in text
    assert "[parameters]" not in text


def test_what_fits_no_function_is_sent_to_the_container(small: Manifest) -> None:
    assert "container image" in fits.advice(large(small, 9000), Configuration())


def test_publishing_to_aws_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = ZOO / "resnet20-cifar10" / "1"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hearth.toml").write_text("[parameters]\nMemory = 100\n", encoding="utf-8")
    with moto_s3() as url:
        client(url).create_bucket(Bucket="models")
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": url}.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, ["publish", str(artifact), "--store", "s3://models", "--alias", "prod"])
    assert result.exit_code == 0, result.output
    assert "memory = 25" in result.output
    assert "Next: hearth predict" in result.output
