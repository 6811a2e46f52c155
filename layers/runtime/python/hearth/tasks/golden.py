"""Replays an artifact's golden answers in the function that will serve it, as the test of a release.

`golden.json` has the answers of the original model. The same inputs go through the task's `predict`, so that
preprocessing, graph and decoding are compared all at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hearth import settings
from hearth.errors import HearthError, NotFound
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.task_table import TASKS
from hearth.tasks.distances import Scores, array_distance, leaves, score_distance, text_distance
from hearth.tasks.task import Tasks, choose_task

FILE = "golden.json"
MAX_BYTES = 16 * 1024 * 1024
"""Largest size of a golden.json."""
SIMILARITY = 0.5
"""Required similarity, from 0 to 1, of two generated texts, which diverge at the first pair of nearly equal logits."""

SAMPLED = 1000
"""Number of values of an output in a golden answer of tensors."""


def check(tasks: Tasks, models: Sequence[str] = ()) -> dict[str, Any]:
    """Replay the golden answers of `models`, or of the models that this function pins, or else of the smallest model of
    each task: every version of a model was checked when it was published, so one model shows whether the code works.

    The report has `golden`, the version of each model or its error, and `passed`. A model that is not published is not
    an error of the function. Raises StoreError if the models cannot be listed.
    """
    report: dict[str, str] = {}
    passed = True
    for name in models or settings.get().models or _smallest_of_each_task(tasks):
        try:
            report[name], model_passed = _replay(tasks, name)
        except HearthError as failure:
            report[name], model_passed = f"{failure.code}: {failure.message}", False
        passed = passed and model_passed
    return {"golden": report, "passed": passed}


def _smallest_of_each_task(tasks: Tasks) -> list[str]:
    """A model of each task that is served, by the catalogue. Raises StoreError."""
    if not tasks:
        return []
    names: dict[str, str] = {}
    for name, entry in sorted(warm_cache().registry.catalog()[0].items(), key=lambda item: item[1].size):
        names.setdefault(entry.task, name)
    served = {model_task for task in tasks for model_task in (task.id, *TASKS[task.id].models_of)}
    return sorted(name for task, name in names.items() if task in served)


def _replay(tasks: Tasks, name: str) -> tuple[str, bool]:
    """The version and true, or the first golden answer that differs and false. Raises HearthError."""
    try:
        resolved = warm_cache().registry.resolve(name)
    except NotFound as failure:
        return f"{failure.code}: {failure.message}", True
    ref, manifest = resolved.ref, resolved.manifest
    served = choose_task(tasks, resolved)  # a detector's task may be tracking
    comparison = COMPARISONS[served.row.comparison]
    golden = _read(ref)
    # Load the version itself, since the alias may change meanwhile. Artifacts without golden answers are loaded too.
    with warm_cache().get(str(ref)) as model:
        for number, case in enumerate(golden["cases"]):
            task_id, document = comparison.request(manifest.task, decode_input(case["inputs"]))
            task = choose_task(tasks, resolved, task_id)
            prediction = task.predict(model, msgspec.convert(document, task.request))
            distance = comparison.distance(case["answer"], msgspec.to_builtins(prediction.output))
            if not distance <= golden["tolerance"]:  # also true for NaN
                return f"golden answer {number} of version {ref.version} differs by {distance:.3g}", False
    return ref.version, True


def _read(ref: Ref) -> dict[str, Any]:
    """The cases and their tolerance; no cases if the artifact has no such file. Raises IntegrityError, StoreError."""
    raw = warm_cache().registry.read_file(ref, FILE, MAX_BYTES)
    golden: dict[str, Any] = json.loads(raw) if raw else {"cases": [], "tolerance": 0}
    return golden


def decode_input(value: Any) -> Any:
    """The input with its bytes, which JSON has as `{"base64": …}`, alone or as a field."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"base64"} and isinstance(value["base64"], str):
        return base64.b64decode(value["base64"])
    return {name: decode_input(item) for name, item in value.items()}


def _labels(golden: Any, prediction: Any) -> float:
    while isinstance(prediction[0], list):
        prediction = prediction[0]
    return score_distance(golden, {score["label"]: score["score"] for score in prediction})


def _token_labels(golden: Any, prediction: Any) -> float:
    """If labels differ, the smallest change of a score that would exchange them."""
    if [token["word"] for token in golden] != [token["word"] for token in prediction]:
        return 1.0
    worst = 0.0
    for expected, token in zip(golden, prediction, strict=True):
        first, second = expected["score"], token["score"]
        if expected["entity"] != token["entity"]:
            first, second = max(first, second), min(second, first, 1 - second, 1 - first)
        worst = max(worst, abs(first - second))
    return worst


def _word_guesses(golden: Any, prediction: Any) -> float:
    return score_distance(
        {guess["word"]: guess["score"] for guess in golden},
        {guess["token_str"]: guess["score"] for guess in prediction},
    )


def _answer(golden: Any, prediction: Any) -> float:
    first, second = golden["score"], prediction["score"]
    is_same = (golden["answer"], golden["start"]) == (prediction["answer"], prediction["start"])
    return float(abs(first - second) if is_same else max(first, second) - min(first, second, 1 - first, 1 - second))


def _vectors(golden: Any, prediction: Any) -> float:
    if isinstance(golden, int | float):
        return float(abs(golden - prediction[0]))
    if isinstance(prediction[0], dict):
        return score_distance(dict(golden), {neighbour["word"]: neighbour["score"] for neighbour in prediction})
    vector = prediction[0]
    lengths = sum(a * a for a in golden) * sum(b * b for b in vector)
    return 1 - float(sum(a * b for a, b in zip(golden, vector, strict=True)) / lengths**0.5)


def _boxes(golden: Any, prediction: Any) -> float:
    """Compare scores by label and rank; the boxes' positions are checked by the artifact's own tests."""
    expected, actual = _ranked(golden["boxes"]), _ranked(prediction)
    unmatched = [
        scores[key] - golden["threshold"]
        for key in expected.keys() ^ actual.keys()
        for scores in (expected, actual)
        if key in scores
    ]
    return max([abs(expected[key] - actual[key]) for key in expected.keys() & actual.keys()] + unmatched, default=0.0)


def _ranked(boxes: Sequence[Any]) -> Scores:
    """The score of each box by its label and its rank among the boxes of the label."""
    ranked: Scores = {}
    for box in sorted(boxes, key=lambda box: -box["score"]):
        rank = sum(key.startswith(f"{box['label']} ") for key in ranked)
        ranked[f"{box['label']} {rank}"] = box["score"]
    return ranked


def _tracks(golden: Any, prediction: Any) -> float:
    """Compare the first box of each track of a video in which nothing moves."""
    return _boxes(golden, [{"label": track["label"], **track["sightings"][0]} for track in prediction["tracks"]])


def _segments(golden: Any, prediction: Any) -> float:
    """The largest difference of the share of the picture that a label covers."""
    return score_distance(golden, {segment["label"]: segment["share"] for segment in prediction})


def _table(golden: Any, prediction: Any) -> float:
    return array_distance(golden, prediction)


def _table_scores(golden: Any, prediction: Any) -> float:
    return max(_labels(*pair) for pair in zip(golden, prediction, strict=True))


def tensor_distance(golden: Any, prediction: Any) -> float:
    """The largest difference between the samples of outputs by name; a prediction may be the outputs themselves."""
    return max((_sample_distance(golden[name], prediction[name]) for name in golden), default=0.0)


def sample(value: Any) -> dict[str, Any]:
    """The number of numbers and texts in nested lists and objects, and at most SAMPLED of them, evenly spaced."""
    values = list(leaves(value))
    step = max(len(values) / SAMPLED, 1)
    return {"count": len(values), "values": [values[int(index * step)] for index in range(min(len(values), SAMPLED))]}


def _sample_distance(golden: Any, prediction: Any) -> float:
    if not (isinstance(prediction, dict) and prediction.keys() == golden.keys() == {"count", "values"}):
        prediction = sample(prediction)
    if golden["count"] != prediction["count"]:
        return float("inf")
    return array_distance(golden["values"], prediction["values"])


def _transcript(golden: Any, prediction: Any) -> float:
    return text_distance(golden, prediction["text"])


def _written_text(golden: Any, prediction: Any) -> float:
    (text,) = prediction[0].values()
    return text_distance(golden, text)


def _ranking(golden: Any, prediction: Any) -> float:
    scores = {item["index"]: item["score"] for item in prediction}
    return float(max(abs(score - scores[index]) for index, score in enumerate(golden)))


def _continuation(golden: Any, prediction: Any) -> float:
    distance = text_distance(golden["generated_text"], prediction[0]["generated_text"])
    return 0.0 if distance <= 1 - SIMILARITY else float("inf")


@dataclass(frozen=True)
class Comparison:
    """How to request a golden answer from a task, and how to compare the prediction with it."""

    distance: Callable[[Any, Any], float]
    """(golden answer, prediction as builtins) -> distance in the unit of the tolerance."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 0
    """Number of times that a picture is repeated as a video, so that tracks are confirmed; 0: not a video."""

    def request(self, task: str, inputs: Any) -> tuple[str, dict[str, Any]]:
        """The id of the task, and its request."""
        if self.frames:
            return "object-tracking", {"inputs": [inputs] * self.frames, "parameters": self.parameters}
        if isinstance(inputs, dict) and "candidate_labels" in inputs:
            labels = {"candidate_labels": inputs["candidate_labels"]}
            zero_shot = "zero-shot-image-classification" if TASKS[task].input == "image" else "zero-shot-classification"
            return zero_shot, {"inputs": decode_input(inputs["inputs"]), "parameters": labels}
        if TASKS[task].function == "embeddings" and isinstance(inputs, list):
            return "sentence-similarity", {"inputs": {"source_sentence": inputs[0], "sentences": inputs[1:]}}
        return task, {"inputs": inputs, "parameters": self.parameters} if self.parameters else {"inputs": inputs}


COMPARISONS = {
    "scores": Comparison(_labels, {"top_k": 10_000}),
    "token_labels": Comparison(_token_labels, {"aggregation_strategy": "none", "ignore_labels": []}),
    "word_guesses": Comparison(_word_guesses),
    "answer": Comparison(_answer),
    "vectors": Comparison(_vectors),
    "boxes": Comparison(_boxes),
    # A track begins 0.1 above the threshold; the detector's own threshold is 0.25.
    "tracks": Comparison(_tracks, {"threshold": 0.15}, frames=TrackerConfig.min_hits),
    "transcript": Comparison(_transcript),
    "written_text": Comparison(_written_text),
    "ranking": Comparison(_ranking),
    "continuation": Comparison(_continuation, {"max_new_tokens": 30}),
    "segments": Comparison(_segments),
    "table": Comparison(_table),
    "table_scores": Comparison(_table_scores, {"top_k": 10_000}),
    "tensors": Comparison(tensor_distance),
}
