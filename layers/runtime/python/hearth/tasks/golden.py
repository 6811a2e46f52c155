"""An artifact's golden answers, given again by the function that is to serve it: what a release is judged by.

`golden.json` holds the answers of the model that the artifact was made from. The same inputs go through the task's
own `predict`, so that preprocessing, graph and decoding are compared all at once.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hearth import settings
from hearth.errors import HearthError, IntegrityError, NotFound
from hearth.models.cache import warm_cache
from hearth.models.manifest import Manifest
from hearth.models.registry import Ref
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.task_table import TASKS
from hearth.tasks.task import Task, choose

FILE = "golden.json"
MAX_BYTES = 16 * 1024 * 1024
"""Of a golden.json."""
SIMILARITY = 0.5
"""How similar, from 0 to 1, two texts of a generator must be: they part at the first near tie."""


def check(tasks: Sequence[Task], models: Sequence[str] = ()) -> dict[str, Any]:
    """`golden`: for each model its version, or what is wrong with it; `passed`: whether nothing is.

    Without `models` those that this function pins. A model that nobody published is no fault of the function's.
    """
    report: dict[str, str] = {}
    passed = True
    for name in models or settings.get().models:
        try:
            report[name], model_passed = _replay(tasks, name)
        except HearthError as failure:
            report[name], model_passed = f"{failure.code}: {failure.message}", False
        passed = passed and model_passed
    return {"golden": report, "passed": passed}


def _replay(tasks: Sequence[Task], name: str) -> tuple[str, bool]:
    """The version and true, or the first golden answer that is missed and false. Raises HearthError."""
    try:
        resolved = warm_cache().registry.resolve(name)
    except NotFound as failure:
        return f"{failure.code}: {failure.message}", True
    ref, manifest = resolved.ref, resolved.manifest
    served = choose(tasks, resolved)  # a detector's may be the tracker
    comparison = COMPARISONS[served.row.comparison]
    golden = _read(ref, manifest)
    # The version itself, whatever its alias means meanwhile; an artifact without golden answers must be loaded too.
    with warm_cache().get(str(ref)) as model:
        for number, case in enumerate(golden["cases"]):
            task_id, document = comparison.request(manifest.task, _input(case["inputs"]))
            task = choose(tasks, resolved, task_id)
            prediction = task.predict(model, msgspec.convert(document, task.request))
            distance = comparison.distance(case["answer"], msgspec.to_builtins(prediction.output))
            if not distance <= golden["tolerance"]:  # what is not a number is no answer
                return f"golden answer {number} of version {ref.version} is missed by {distance:.3g}", False
    return ref.version, True


def _read(ref: Ref, manifest: Manifest) -> dict[str, Any]:
    """The cases and their tolerance; none where the artifact has no such file. Raises IntegrityError, StoreError."""
    listed = next((file for file in manifest.files if file.path == FILE), None)
    if listed is None:
        return {"cases": [], "tolerance": 0}
    raw = warm_cache().registry.store.get(f"{ref.model}/{ref.version}/{FILE}", limit=MAX_BYTES)
    if hashlib.sha256(raw).hexdigest() != listed.sha256:
        raise IntegrityError(f"{FILE} of {ref} is not the one that its manifest names")
    golden: dict[str, Any] = json.loads(raw)
    return golden


def _input(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) and "base64" in value else value


Scores = dict[str, float]


def _score_distance(first: Scores, second: Scores) -> float:
    """The largest difference of a score; what one answer leaves out has at most its least score."""
    if not first or not second:
        return 0.0 if first == second else 1.0
    lowest = (min(first.values()), min(second.values()))
    return max(
        abs(first[key] - second[key])
        if key in first and key in second
        else max(0.0, first.get(key, second.get(key, 0)) - lowest[key in first])
        for key in first.keys() | second.keys()
    )


def _labels(golden: Any, answer: Any) -> float:
    while isinstance(answer[0], list):
        answer = answer[0]
    return _score_distance(golden, {score["label"]: score["score"] for score in answer})


def _token_labels(golden: Any, answer: Any) -> float:
    """Where labels differ, the least change of a score by which they swap places."""
    if [token["word"] for token in golden] != [token["word"] for token in answer]:
        return 1.0
    worst = 0.0
    for expected, token in zip(golden, answer, strict=True):
        first, second = expected["score"], token["score"]
        if expected["entity"] != token["entity"]:
            first, second = max(first, second), min(second, first, 1 - second, 1 - first)
        worst = max(worst, abs(first - second))
    return worst


def _word_guesses(golden: Any, answer: Any) -> float:
    return _score_distance(
        {guess["word"]: guess["score"] for guess in golden},
        {guess["token_str"]: guess["score"] for guess in answer},
    )


def _answer(golden: Any, answer: Any) -> float:
    first, second = golden["score"], answer["score"]
    same = (golden["answer"], golden["start"]) == (answer["answer"], answer["start"])
    return float(abs(first - second) if same else max(first, second) - min(first, second, 1 - first, 1 - second))


def _vectors(golden: Any, answer: Any) -> float:
    if isinstance(golden, int | float):
        return float(abs(golden - answer[0]))
    if isinstance(answer[0], dict):
        return _score_distance(dict(golden), {neighbour["word"]: neighbour["score"] for neighbour in answer})
    vector = answer[0]
    lengths = sum(a * a for a in golden) * sum(b * b for b in vector)
    return 1 - float(sum(a * b for a, b in zip(golden, vector, strict=True)) / lengths**0.5)


def _boxes(golden: Any, answer: Any) -> float:
    """Scores by label and rank; that the boxes lie where they should is for the artifact's own tests."""
    expected, given = _ranked(golden["boxes"]), _ranked(answer)
    unmatched = [
        scores[key] - golden["threshold"]
        for key in expected.keys() ^ given.keys()
        for scores in (expected, given)
        if key in scores
    ]
    return max([abs(expected[key] - given[key]) for key in expected.keys() & given.keys()] + unmatched, default=0.0)


def _ranked(boxes: Sequence[Any]) -> Scores:
    """The score of each box by its label and its rank among those of the label."""
    ranked: Scores = {}
    for box in sorted(boxes, key=lambda box: -box["score"]):
        rank = sum(key.startswith(f"{box['label']} ") for key in ranked)
        ranked[f"{box['label']} {rank}"] = box["score"]
    return ranked


def _tracks(golden: Any, answer: Any) -> float:
    """A film in which nothing moves: where each track begins."""
    return _boxes(golden, [{"label": track["label"], **track["sightings"][0]} for track in answer["tracks"]])


def _text_distance(golden: str, answer: str) -> float:
    return 1 - difflib.SequenceMatcher(None, golden, answer, autojunk=False).ratio()


def _transcript(golden: Any, answer: Any) -> float:
    return _text_distance(golden, answer["text"])


def _translation(golden: Any, answer: Any) -> float:
    return _text_distance(golden, answer[0]["translation_text"])


def _continuation(golden: Any, answer: Any) -> float:
    distance = _text_distance(golden["generated_text"], answer[0]["generated_text"])
    return 0.0 if distance <= 1 - SIMILARITY else float("inf")


@dataclass(frozen=True)
class Comparison:
    """How a task is asked for a golden answer, and how far its answer is from it."""

    distance: Callable[[Any, Any], float]
    """(golden answer, the task's answer as JSON has it) -> in the unit of the tolerance."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    film: int = 0
    """Pictures of a film in which nothing moves, if an input is to be one: a track counts once it was seen so often."""

    def request(self, task: str, inputs: Any) -> tuple[str, dict[str, Any]]:
        """The task to be asked, and its request."""
        if self.film:
            return "object-tracking", {"inputs": [inputs] * self.film, "parameters": self.parameters}
        if isinstance(inputs, dict) and "candidate_labels" in inputs:
            labels = {"candidate_labels": inputs["candidate_labels"]}
            return "zero-shot-classification", {"inputs": inputs["inputs"], "parameters": labels}
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
    # A track begins with a tenth more than the threshold; the detector's own is 0.25.
    "tracks": Comparison(_tracks, {"threshold": 0.15}, film=TrackerConfig.min_hits),
    "transcript": Comparison(_transcript),
    "translation": Comparison(_translation),
    "continuation": Comparison(_continuation, {"max_new_tokens": 30}),
}
