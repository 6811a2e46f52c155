"""Reference statistics of a model on its evaluation's data."""

from __future__ import annotations

from pathlib import Path

from hearth.models.cache import warm_cache
from hearth.models.manifest import dump, parse
from hearth_build.drift.comparison import compare
from hearth_build.drift.reference import _WithReference, make_reference, observe
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.recipe import Example

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
    from msgspec import structs

    with warm_cache().get("sentiment-en") as model:
        reference = make_reference(model, evaluation_of("text-classification"), examples(80), "dev")
        manifest = structs.replace(model.manifest, reference=reference)
    assert parse(dump(manifest)) == manifest
