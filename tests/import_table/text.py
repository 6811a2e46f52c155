"""The same requests to an imported text model and to transformers, and how much the answers differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers

from hearth.models.model import Model
from hearth.tasks import seq2seq
from hearth_functions.embeddings import app as embeddings
from hearth_functions.fill_mask import app as fill_mask
from hearth_functions.question_answering import app as question_answering
from hearth_functions.text_classification import app as text_classification
from hearth_functions.text_ranking import app as text_ranking
from hearth_functions.token_classification import app as token_classification

TEXT = "The capital of France is Paris, where Anna Berg bought a wonderful film."
TEXTS = [TEXT, "I loved it.", "Can you tell me when the next train leaves from Oslo to Berlin?"]
LABELS = ["praise", "complaint", "question"]
PAIR = {"question": "Who bought the mill?", "context": "The mill stands by the river. Anna Berg bought it in 1873."}


class PlainGraph:
    """ONNX Runtime on the graph of a folder, called as transformers' model is."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(path))

    def __call__(self, **feeds: torch.Tensor) -> Any:
        names = [value.name for value in self.session.get_outputs()]
        inputs = {value.name for value in self.session.get_inputs()}
        outputs = self.session.run(names, {name: value.numpy() for name, value in feeds.items() if name in inputs})
        return transformers.utils.ModelOutput(
            {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}
        )


def reference(folder: Path, kind: str = "") -> tuple[Any, Any]:
    """transformers' model in fp32, or the plain graph of a folder without weights; and the tokenizer."""
    if not list(folder.glob("*.safetensors")):
        graph = next(iter(sorted(folder.glob("**/model.onnx"))))
        return PlainGraph(graph), transformers.AutoTokenizer.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = config["architectures"][0]
    model_class = getattr(transformers, own if own.endswith("EncoderModel") else kind or own)
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def run(model: Any, tokenizer: Any, *texts: str) -> Any:
    with torch.no_grad():
        return model(**tokenizer(*texts, return_tensors="pt"))


def classification(model: Model[Any, Any], folder: Path) -> float:
    """The largest difference of a logit."""
    network, tokenizer = reference(folder)
    parameters = text_classification.Parameters(function_to_apply="none")
    answers = text_classification.predict(model, text_classification.Request(TEXTS, parameters)).output
    differences = []
    for text, answer in zip(TEXTS, answers, strict=True):
        logits = dict(zip(model.manifest.labels, run(network, tokenizer, text).logits[0].tolist(), strict=True))
        differences += [abs(logits[item.label] - item.score) for item in answer]
    return max(differences)


def zero_shot(model: Model[Any, Any], folder: Path) -> float:
    network, tokenizer = reference(folder)
    answer = text_classification.predict_zero_shot(
        model, text_classification.ZeroShotRequest(TEXT, text_classification.ZeroShotParameters(LABELS))
    ).output
    entailment = model.head.entailment
    logits = [run(network, tokenizer, TEXT, f"This example is {label}.").logits[0, entailment] for label in LABELS]
    scores = dict(zip(LABELS, torch.stack(logits).softmax(0).tolist(), strict=True))
    return max(abs(scores[item.label] - item.score) for item in answer)


def tokens(model: Model[Any, Any], folder: Path) -> float:
    network, tokenizer = reference(folder)
    parameters = token_classification.Parameters(aggregation_strategy="none", ignore_labels=())
    answer = token_classification.predict(model, token_classification.Request(TEXT, parameters)).output
    scores = run(network, tokenizer, TEXT).logits[0].softmax(1)
    return max(abs(float(scores[item.index].max()) - item.score) for item in answer)


def masks(model: Model[Any, Any], folder: Path) -> float:
    network, tokenizer = reference(folder)
    text = f"The capital of {tokenizer.mask_token} is Paris."
    answer = fill_mask.predict(model, fill_mask.Request(text)).output
    ids = tokenizer(text)["input_ids"]
    scores = run(network, tokenizer, text).logits[0, ids.index(tokenizer.mask_token_id)].softmax(0)
    return max(abs(float(scores[item.token]) - item.score) for item in answer)


def answers(model: Model[Any, Any], folder: Path) -> float:
    network, tokenizer = reference(folder)
    encoded = tokenizer(PAIR["question"], PAIR["context"])
    request = question_answering.Request(question_answering.Pair(**PAIR))
    rows = question_answering.encode(model, request)[0]
    assert rows[0].ids == encoded["input_ids"]
    start, end = question_answering.run(model, rows)[0]
    expected = run(network, tokenizer, PAIR["question"], PAIR["context"])
    return max(
        float(np.abs(start - expected.start_logits[0].numpy()).max()),
        float(np.abs(end - expected.end_logits[0].numpy()).max()),
    )


def vectors(model: Model[Any, Any], folder: Path) -> float:
    """Against sentence-transformers if the folder is one, else against the mean of transformers' hidden states."""
    answer = np.array(embeddings.predict(model, embeddings.Request(inputs=TEXTS)).output)
    if (folder / "modules.json").is_file():
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
        if encoder.tokenizer.pad_token is None:  # sentence-transformers asks for it, though one text needs no padding
            encoder.tokenizer.pad_token = encoder.tokenizer.eos_token
        expected = np.stack([encoder.encode(text) for text in TEXTS])
    else:
        network, tokenizer = reference(folder, "AutoModel")
        expected = np.stack([run(network, tokenizer, text)[0][0].mean(0).numpy() for text in TEXTS])
    return float(np.abs(answer - expected).max())


def ranking(model: Model[Any, Any], folder: Path) -> float:
    """The largest difference of a logit."""
    network, tokenizer = reference(folder)
    request = text_ranking.Request(text_ranking.Candidates(PAIR["question"], TEXTS))
    logits = text_ranking.run(model, text_ranking.encode(model, request))
    expected = [run(network, tokenizer, PAIR["question"], text).logits.item() for text in TEXTS]
    return float(np.abs(logits - np.array(expected)).max())


def written(model: Model[Any, Any], folder: Path) -> float:
    """The share of texts whose greedy tokens, or those of three beams, are not transformers'."""
    network, tokenizer = reference(folder)
    wrong = 0
    for text in TEXTS:
        encoded = tokenizer(model.head.prefix + text, return_tensors="pt")
        feeds = {"input_ids": encoded["input_ids"].numpy(), "attention_mask": encoded["attention_mask"].numpy()}
        for beams in (1, 3):
            (tokens,) = seq2seq.generate(model, seq2seq.Parameters(num_beams=beams, max_new_tokens=12), feeds)
            with torch.no_grad():
                output = network.generate(**encoded, num_beams=beams, max_new_tokens=12, do_sample=False)[
                    0, 1:
                ].tolist()
            end = model.head.eos
            wrong += tokens != (output[: output.index(end)] if end in output else output)
    return wrong / (2 * len(TEXTS))


COMPARISONS = {
    "text-classification": classification,
    "zero-shot-classification": zero_shot,
    "token-classification": tokens,
    "fill-mask": masks,
    "question-answering": answers,
    "feature-extraction": vectors,
    "text-ranking": ranking,
    "translation": written,
    "summarization": written,
    "text2text-generation": written,
}
