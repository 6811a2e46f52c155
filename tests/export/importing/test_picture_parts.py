from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.picture_parts import detector_head, labels_of, text_fields
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError
from tests.export.training.checkpoints import word_tokenizer


def source(config: dict[str, Any], folder: Path = Path("/models/a")) -> Source:
    return Source(folder, "tiny", config)


def test_labels_are_those_of_the_flag_of_timm_or_of_transformers(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("x\ny\n")
    transformers = {"id2label": {"1": "dog", "0": "cat"}}
    assert labels_of(source(transformers), ImportOptions(labels=tmp_path / "labels.txt")) == ("x", "y")
    assert labels_of(source(transformers), ImportOptions()) == ("cat", "dog")
    timm = {"label_names": ["n01", "n02"], "label_descriptions": {"n01": "a cat"}}
    assert labels_of(source(timm), ImportOptions()) == ("a cat", "n02")
    assert labels_of(source({"pretrained_cfg": {}, "num_classes": 2}), ImportOptions()) == ("0", "1")


@pytest.mark.parametrize(("family", "several"), [("detr", False), ("deformable_detr", True)])
def test_only_some_detectors_have_a_label_for_no_object(family: str, several: bool) -> None:
    head = detector_head(source({"model_type": family}))
    assert head.multi_label is several
    assert head.normalised


def test_texts_are_read_as_the_family_reads_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"has no tokenizer\.json"):
        text_fields(source({"model_type": "clip"}, tmp_path))
    word_tokenizer(("fine",)).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "[MASK]"}}))
    fields, activation = text_fields(source({"model_type": "clip"}, tmp_path))
    assert (fields["max_tokens"], fields["pad_id"], fields["fixed_length"], activation) == (77, 4, False, "softmax")
    fields, activation = text_fields(source({"model_type": "siglip", "text_config": {"pad_token_id": 1}}, tmp_path))
    assert (fields["max_tokens"], fields["fixed_length"], activation) == (64, True, "sigmoid")
