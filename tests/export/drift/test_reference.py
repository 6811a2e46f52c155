"""Reference statistics of a model on its evaluation's data."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from msgspec import structs
from PIL import Image

from hearth.models.cache import warm_cache
from hearth.models.manifest import dump, parse
from hearth_build.drift.comparison import compare
from hearth_build.drift.reference import _WithReference, make_reference, observe, usual_values
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.recipe import Example
from tests.support.artifacts import make_table_artifact

TEXTS = ["the film is good", "a bad movie", "this is a great film", "a terrible movie this is"]


def examples(count: int, *extra: str) -> list[Example]:
    texts = [*TEXTS, *extra]
    return [Example(texts[number % len(texts)], "positive") for number in range(count)]


def test_tokens_of_one_half_are_known_and_the_other_half_is_counted(serving: Path) -> None:
    evaluation = evaluation_of("text-classification")
    with warm_cache().get("sentiment-en") as model:
        reference = make_reference(model, evaluation, examples(201), "dev")
        assert reference is not None
        assert (reference.dataset, reference.inputs) == ("dev", 100)
        assert sum(reference.counts["label"]) == sum(reference.counts["unfamiliar"]) == 100
        assert reference.counts["unfamiliar"] == (100,)
        moved = observe(_WithReference(model, reference), evaluation, examples(60, "wonderful love"))
        report = compare(reference.counts, moved, model.manifest.labels)
        assert "unfamiliar" in {feature.name for feature in report.moved}
        same = observe(_WithReference(model, reference), evaluation, examples(60))
        assert not compare(reference.counts, same, model.manifest.labels).moved


def test_too_few_examples_make_no_reference(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        assert make_reference(model, evaluation_of("text-classification"), examples(12), "dev") is None


def test_a_manifest_keeps_its_reference(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        reference = make_reference(model, evaluation_of("text-classification"), examples(80), "dev")
        manifest = structs.replace(model.manifest, reference=reference)
    assert parse(dump(manifest)) == manifest


def photos(seed: int, count: int, light: float) -> list[Example]:
    """Pictures of different brightness, as a camera takes them during a day."""
    generator = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        mean = generator.normal(130, 25) * light
        pixels = generator.normal(mean, 40 * light, (24, 24, 3)).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        examples.append(Example(buffer.getvalue(), "red"))
    return examples


def test_a_dimmed_camera_is_noticed_within_50_pictures(serving: Path) -> None:
    evaluation = evaluation_of("image-classification")
    with warm_cache().get("resnet20-cifar10") as model:
        reference = make_reference(model, evaluation, photos(1, 400, 1.0), "photos")
        assert reference is not None
        for seed in range(5):
            usual = observe(model, evaluation, photos(10 + seed, 50, 1.0))
            assert not compare(reference.counts, usual, rate=0.001).moved
            dimmed = observe(model, evaluation, photos(20 + seed, 50, 0.7))
            assert "brightness" in {feature.name for feature in compare(reference.counts, dimmed).moved}


def test_a_table_has_usual_values_of_each_column_but_none_of_its_rows(serving: Path) -> None:
    make_table_artifact(serving)
    rows = [Example({"age": index, "hours": 5, "rooms": "7.5"}, str(index)) for index in range(90)]
    np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]
    missing = [Example({**row.inputs, "hours": None if row.inputs["age"] < 30 else 5}, "") for row in rows]
    with warm_cache().get("tabular-regression") as model:
        reference = make_reference(model, evaluation_of("tabular-regression"), rows, "table")
        assert reference is not None
        assert parse(dump(structs.replace(model.manifest, reference=reference))).reference == reference
        assert usual_values(model, missing)["hours"] == (None,) * 3 + (5,) * 6
    with warm_cache().get("sentiment-en") as model:
        assert usual_values(model, examples(100)) == {}
    assert reference.columns["age"] == (5, 15, 25, 35, 45, 55, 65, 75, 85)
    assert reference.columns["rooms"] == (7.5,) * 9
