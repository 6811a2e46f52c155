"""An artifact's golden answers, given again by the function that is to serve it: what a release is judged by.

`golden.json` holds the answers of the model that the artifact was made from. The same inputs go through the task's
own `predict`, so preprocessing, graph and decoding are compared all at once.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hearth import settings
from hearth.errors import HearthError, IntegrityError, NotFound
from hearth.models.cache import warm
from hearth.models.manifest import TASKS, Manifest
from hearth.models.registry import Ref
from hearth.ops.vision.bytetrack import Rules
from hearth.tasks.task import Task, choose

FILE = "golden.json"
LONGEST = 16 * 1024 * 1024
"""Bytes of a golden.json, at most."""
LIKE = 0.5
"""How alike, from 0 to 1, two texts must be that a generator wrote: they part at the first near tie."""


def check(tasks: Sequence[Task], models: Sequence[str] = ()) -> dict[str, Any]:
    """`golden`: for each model its version, or what is wrong with it; `passed`: whether nothing is.

    Without `models` those that this function pins. One that nobody published is no fault of the function's.
    """
    told: dict[str, str] = {}
    passed = True
    for name in models or settings.get().models:
        try:
            told[name], fine = _replayed(tasks, name)
        except HearthError as failure:
            told[name], fine = f"{failure.code}: {failure.message}", False
        passed = passed and fine
    return {"golden": told, "passed": passed}


def _replayed(tasks: Sequence[Task], name: str) -> tuple[str, bool]:
    """The version and true, or the first golden answer that is not given and false. Raises HearthError."""
    try:
        ref = warm().registry.resolve(name)
        manifest = warm().registry.manifest(ref)
    except NotFound as failure:
        return f"{failure.code}: {failure.message}", True
    served = choose(tasks, name, manifest.task)
    with warm().get(str(ref)):
        pass  # an artifact without golden answers must be loaded all the same
    found = _golden(ref, manifest)
    family = FAMILIES[TASKS[served.id]]  # the function's: a detector's may be the tracker
    for number, case in enumerate(found["cases"]):
        id, request = family.ask(manifest.task, _inputs(case["inputs"]))
        task = choose(tasks, name, manifest.task, id)
        answer = msgspec.to_builtins(task.predict(str(ref), msgspec.convert(request, task.request)))
        apart = family.apart(case["answer"], answer)
        if not apart <= found["tolerance"]:  # what is not a number is no answer
            return f"golden answer {number} of version {ref.version} is missed by {apart:.3g}", False
    return ref.version, True


def _golden(ref: Ref, manifest: Manifest) -> dict[str, Any]:
    """The cases and their tolerance; none where the artifact has no such file. Raises IntegrityError, StoreError."""
    listed = next((file for file in manifest.files if file.path == FILE), None)
    if listed is None:
        return {"cases": [], "tolerance": 0}
    raw = warm().registry.store.get(f"{ref.model}/{ref.version}/{FILE}", limit=LONGEST)
    if hashlib.sha256(raw).hexdigest() != listed.sha256:
        raise IntegrityError(f"{FILE} of {ref} is not the one that its manifest names")
    found: dict[str, Any] = json.loads(raw)
    return found


def _inputs(told: Any) -> Any:
    return base64.b64decode(told["base64"]) if isinstance(told, dict) and "base64" in told else told


Scores = dict[str, float]


def _far(one: Scores, other: Scores) -> float:
    """The largest difference of a score; what one answer leaves out has at most its least score."""
    if not one or not other:
        return 0.0 if one == other else 1.0
    lowest = (min(one.values()), min(other.values()))
    return max(
        abs(one[key] - other[key])
        if key in one and key in other
        else max(0.0, one.get(key, other.get(key, 0)) - lowest[key in one])
        for key in one.keys() | other.keys()
    )


def _labels(scores: Any) -> Scores:
    while isinstance(scores[0], list):
        scores = scores[0]
    return {score["label"]: score["score"] for score in scores}


def _tokens(golden: Any, answer: Any) -> float:
    """Where labels differ, the least by which a score must for them to swap places."""
    if [token["word"] for token in golden] != [token["word"] for token in answer]:
        return 1.0
    worst = 0.0
    for one, other in zip(golden, answer, strict=True):
        first, second = one["score"], other["score"]
        if one["entity"] != other["entity"]:
            first, second = max(first, second), min(second, first, 1 - second, 1 - first)
        worst = max(worst, abs(first - second))
    return worst


def _reply(golden: Any, answer: Any) -> float:
    first, second = golden["score"], answer["score"]
    same = (golden["answer"], golden["start"]) == (answer["answer"], answer["start"])
    return float(abs(first - second) if same else max(first, second) - min(first, second, 1 - first, 1 - second))


def _vectors(golden: Any, answer: Any) -> float:
    if isinstance(golden, int | float):
        return float(abs(golden - answer[0]))
    if isinstance(answer[0], dict):
        return _far(dict(golden), {found["word"]: found["score"] for found in answer})
    one, other = golden, answer[0]
    lengths = sum(a * a for a in one) * sum(b * b for b in other)
    return 1 - float(sum(a * b for a, b in zip(one, other, strict=True)) / lengths**0.5)


def _boxes(golden: Any, answer: Any) -> float:
    """Scores by label and rank; that the boxes lie where they should is for the artifact's own tests."""
    ours = [{"label": box["label"], "score": box["score"]} for box in answer]
    ranked = [_ranked(golden["boxes"]), _ranked(ours)]
    lone = [
        score - golden["threshold"] for key in ranked[0].keys() ^ ranked[1].keys() for score in _either(ranked, key)
    ]
    return max(
        [abs(ranked[0][key] - ranked[1][key]) for key in ranked[0].keys() & ranked[1].keys()] + lone, default=0.0
    )


def _tracks(golden: Any, answer: Any) -> float:
    """Of a film that stands still: where each track begins."""
    return _boxes(golden, [{"label": track["label"], **track["sightings"][0]} for track in answer["tracks"]])


def _either(ranked: list[Scores], key: str) -> list[float]:
    return [scores[key] for scores in ranked if key in scores]


def _ranked(boxes: Sequence[Any]) -> Scores:
    found: Scores = {}
    for box in sorted(boxes, key=lambda box: -box["score"]):
        rank = sum(key.startswith(f"{box['label']} ") for key in found)
        found[f"{box['label']} {rank}"] = box["score"]
    return found


def _texts(golden: str, answer: str) -> float:
    return 1 - difflib.SequenceMatcher(None, golden, answer, autojunk=False).ratio()


def _written(golden: Any, answer: Any) -> float:
    return 0.0 if _texts(golden["generated_text"], answer[0]["generated_text"]) <= 1 - LIKE else float("inf")


@dataclass(frozen=True)
class Family:
    """How the tasks of one function are asked, and how far their answers are from golden ones."""

    apart: Callable[[Any, Any], float]
    """(golden answer, the task's answer as JSON holds it) -> in the units of the tolerance."""
    parameters: dict[str, Any] | None = None
    film: int = 0
    """Pictures of a film in which nothing moves, if an input is to be one: a track counts once it was seen so often."""

    def ask(self, task: str, inputs: Any) -> tuple[str, dict[str, Any]]:
        """The task to be asked and its request."""
        if self.film:
            return "object-tracking", {"inputs": [inputs] * self.film, "parameters": self.parameters}
        request: dict[str, Any] = {"inputs": inputs}
        if isinstance(inputs, dict) and "candidate_labels" in inputs:
            labels = {"candidate_labels": inputs["candidate_labels"]}
            return "zero-shot-classification", {"inputs": inputs["inputs"], "parameters": labels}
        if TASKS[task] == "embeddings" and isinstance(inputs, list):
            return "sentence-similarity", {"inputs": {"source_sentence": inputs[0], "sentences": inputs[1:]}}
        if self.parameters:
            request["parameters"] = self.parameters
        return task, request


FAMILIES = {
    "text_classification": Family(lambda golden, answer: _far(golden, _labels(answer))),
    "image_classification": Family(lambda golden, answer: _far(golden, _labels(answer)), {"top_k": 10_000}),
    "token_classification": Family(_tokens, {"aggregation_strategy": "none", "ignore_labels": []}),
    "fill_mask": Family(
        lambda golden, answer: _far(
            {guess["word"]: guess["score"] for guess in golden},
            {guess["token_str"]: guess["score"] for guess in answer},
        )
    ),
    "question_answering": Family(_reply),
    "embeddings": Family(_vectors),
    "object_detection": Family(_boxes),
    # A track begins with a tenth more than the threshold; the detector's own is 0.25.
    "object_tracking": Family(_tracks, {"threshold": 0.15}, film=Rules.sightings),
    "speech_recognition": Family(lambda golden, answer: _texts(golden, answer["text"])),
    "translation": Family(lambda golden, answer: _texts(golden, answer[0]["translation_text"])),
    "text_generation": Family(_written, {"max_new_tokens": 30}),
}
