"""fill-mask: how often the model predicts the right token, and how likely it considers it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.fill_mask import app

DATA_FORMAT = (
    "a .tsv file of `text with [MASK]<TAB>the masked word`, or a .txt file with one text per line, in each of which "
    "one word is masked"
)
MASK = "[MASK]"
TOP = 5


def read(path: Path) -> list[Example]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        if path.suffix == ".tsv":
            pairs = [line.split("\t") for line in lines]
            if any(len(pair) != 2 or pair[0].count(MASK) != 1 for pair in pairs):
                raise DataError(f"{path} must be {DATA_FORMAT}.")
            return [Example(text, word) for text, word in pairs]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None
    examples = []
    for number, line in enumerate(lines):
        words = line.split()
        masked = number % len(words)
        examples.append(Example(" ".join([*words[:masked], MASK, *words[masked + 1 :]]), words[masked]))
    return examples


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Metrics over the words that are a single token of the model; `covered` is the fraction of such words."""
    mask = model.tokenizer.id_to_token(model.manifest.head.token_id)
    correct = correct_in_top = counted = 0
    loss = 0.0
    for example in examples:
        tokens = model.tokenizer.encode(example.expected, add_special_tokens=False).ids
        if len(tokens) != 1:
            continue
        text = example.inputs.replace(MASK, mask)
        output = app.predict(model, app.Request(text, app.Parameters(top_k=TOP))).output
        predicted = [prediction.token for prediction in output]
        word = model.tokenizer.id_to_token(tokens[0])
        probability = app.predict(model, app.Request(text, app.Parameters(targets=word))).output[0].score
        counted += 1
        correct += predicted[0] == tokens[0]
        correct_in_top += tokens[0] in predicted
        loss -= math.log(max(probability, 1e-12))
    if not counted:
        raise DataError(f"No masked word is a single token of {model.manifest.model}, so nothing can be measured.")
    return {
        "accuracy": correct / counted,
        f"accuracy of the best {TOP}": correct_in_top / counted,
        "perplexity": math.exp(loss / counted),
        "covered": counted / len(examples),
    }


def predict(model: Any, inputs: str) -> list[dict[str, Any]]:
    """The most likely tokens for a text with one mask."""
    output = app.predict(model, app.Request(inputs, app.Parameters(top_k=TOP))).output
    return [
        {"token": prediction.token, "word": prediction.token_str, "score": prediction.score} for prediction in output
    ]


def difference(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    """The largest difference of the scores of a token. A token that a list lacks has at most its lowest score."""
    return max(one_sided_difference(first, second), one_sided_difference(second, first))


def one_sided_difference(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    scores = {prediction["token"]: prediction["score"] for prediction in second}
    lowest = min(scores.values())
    differences = []
    for prediction in first:
        if prediction["token"] in scores:
            differences.append(abs(prediction["score"] - scores[prediction["token"]]))
        else:
            differences.append(max(prediction["score"] - lowest, 0.0))
    return float(max(differences))


def summarize(predictions: list[dict[str, Any]]) -> str:
    return str(predictions[0]["word"])


EVALUATION = Evaluation("accuracy", True, DATA_FORMAT, read, measure, predict, difference, summarize)
