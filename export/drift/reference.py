"""Reference statistics of a model: what its inputs and answers look like on the data of its evaluation."""

from __future__ import annotations

import base64
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import structs

from hearth.models.manifest import Reference
from hearth.models.preprocessing import TablePreprocessing, TextPreprocessing
from hearth.telemetry.features import FEEDBACK
from hearth.telemetry.sketches import Sketch
from hearth.telemetry.timing import begin
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example

MAX_EXAMPLES = 2000
TOKEN_BITS = 32768
"""Bits of `Reference.known_tokens`: 4 kB, one for each token of most vocabularies of encoders."""
MIN_EXAMPLES = 30
VALUES = 9
"""Usual values of a column of a table: so many rows are scored for each set of columns that an explanation leaves
out."""
DECIMALS = 4


class _Recorder:
    """A model that records which tokens it gets, and the vectors that it returns for texts."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seen = np.zeros(TOKEN_BITS, bool)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def run(self, feeds: dict[str, np.ndarray], graph: str = "main") -> Any:
        if "input_ids" in feeds:
            ids = feeds["input_ids"][feeds["attention_mask"] != 0] if "attention_mask" in feeds else feeds["input_ids"]
            self.seen[ids.ravel() % TOKEN_BITS] = True
        return self._model.run(feeds, graph)


class _WithReference:
    """A model whose manifest has the first part of its reference."""

    def __init__(self, model: Any, reference: Reference) -> None:
        self._model = model
        self.manifest = structs.replace(model.manifest, reference=reference)
        self.known_tokens = known_tokens(reference)
        self.centre = np.array(reference.centre, np.float32) if reference.centre else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def known_tokens(reference: Reference) -> np.ndarray | None:
    data = base64.b64decode(reference.known_tokens)
    return np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool) if data else None


def make_reference(model: Any, evaluation: Evaluation, examples: Sequence[Example], dataset: str) -> Reference | None:
    """The statistics of a model on examples; None if there are too few, or if its function observes nothing.

    For models of texts, the first half of the examples gives the known tokens and the mean vector, and the second half
    the counts: a text compared with statistics of itself would look more familiar than any other.
    """
    examples = _sample(examples, MAX_EXAMPLES)
    if len(examples) < MIN_EXAMPLES:
        return None
    first = Reference(dataset, len(examples), {}, columns=usual_values(model, examples))
    if isinstance(model.manifest.preprocessing, TextPreprocessing) and len(examples) >= 2 * MIN_EXAMPLES:
        recorder = _Recorder(model)
        observe(recorder, evaluation, examples[::2])
        bits = base64.b64encode(np.packbits(recorder.seen).tobytes()).decode() if recorder.seen.any() else ""
        first = Reference(dataset, len(examples), {}, known_tokens=bits, centre=_centre(model, examples[::2]))
        model, examples = _WithReference(model, first), examples[1::2]
    counts = observe(model, evaluation, examples)
    if not counts and not first.columns:
        return None
    return structs.replace(first, inputs=len(examples), counts={name: _trim(row) for name, row in counts.items()})


def usual_values(model: Any, examples: Sequence[Example]) -> dict[str, tuple[str | float | None, ...]]:
    """VALUES values of each column of a table, at equal steps of its sorted values; missing ones come first."""
    preprocessing = model.manifest.preprocessing
    if not isinstance(preprocessing, TablePreprocessing):
        return {}
    kinds = {tensor.name: tensor.dtype for tensor in model.manifest.graphs["main"].inputs}
    places = [(2 * step + 1) * len(examples) // (2 * VALUES) for step in range(VALUES)]
    result = {}
    for column in preprocessing.columns:
        values = [example.inputs.get(column.name) for example in examples]
        present = [value for value in values if value is not None]
        convert: Any = str if kinds[column.input] == "string" else float
        ordered = [*[None] * (len(values) - len(present)), *sorted(map(convert, present))]
        result[column.name] = tuple(ordered[place] for place in places)
    return result


def observe(model: Any, evaluation: Evaluation, examples: Sequence[Example]) -> dict[str, list[int]]:
    """The counts of a model's inputs and answers, by feature."""
    timing = begin()
    timing.observed = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metrics of few examples may be undefined
        if evaluation.outputs is not None:
            evaluation.outputs(model, examples)
        else:
            evaluation.measure(model, examples)
    sketch = Sketch()
    sketch.add(timing.observed)
    begin()
    return {name: counts for name, counts in sketch.counts.items() if name not in FEEDBACK}


def _sample(examples: Sequence[Example], maximum: int) -> list[Example]:
    """At most so many examples in random order: neighbours are often alike."""
    sampled = [*examples]
    random.Random(0).shuffle(sampled)
    return sampled[:maximum]


def _trim(counts: Sequence[int]) -> tuple[int, ...]:
    last = max((index for index, number in enumerate(counts) if number), default=-1)
    return tuple(counts[: last + 1])


def _centre(model: Any, examples: Sequence[Example]) -> tuple[float, ...]:
    """The mean vector of texts, if the model embeds them."""
    from hearth.models.heads import Pooling

    if not isinstance(model.manifest.head, Pooling):
        return ()
    from hearth_functions.embeddings import app

    texts = [text for example in examples for text in _texts(example.inputs)]
    vectors = [app.embed(model, text, app.Parameters(truncate=True))[0][0] for text in texts if text.strip()]
    return tuple(round(float(value), DECIMALS) for value in np.mean(vectors, axis=0)) if vectors else ()


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [text for item in values for text in _texts(item)]
