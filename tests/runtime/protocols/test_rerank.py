"""Ranking in the forms of Text Embeddings Inference, Cohere and Jina, with scores that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.protocols import rerank
from hearth.protocols.base import Request
from hearth.tasks.task import Prediction, Usage
from hearth_functions.text_ranking import app

SCORES = (0.25, 0.75)


class Ranker:
    """A task `text-ranking` that gives the second text the better score, and remembers what it was asked."""

    request = app.Request

    def __init__(self) -> None:
        self.seen: Any = None

    def predict(self, model: Any, request: app.Request) -> Prediction:
        self.seen = request
        texts = request.inputs.texts if request.parameters.return_text else [None, None]
        ranked = [app.RankedText(index, SCORES[index], texts[index]) for index in (1, 0)]
        return Prediction(ranked[: request.parameters.top_n], Usage(2, input_tokens=7))


@pytest.fixture
def ranker(monkeypatch: pytest.MonkeyPatch) -> Ranker:
    task = Ranker()
    monkeypatch.setattr(Request, "open_model", lambda self, model, name: (task, SimpleNamespace()))
    return task


def call(endpoint: Any, document: dict[str, Any]) -> Any:
    request = Request((), msgspec.json.encode(document), {"name": "ranker"}, request_id="r-1")
    return msgspec.json.decode(endpoint(request).body)


def test_tei_gets_a_list_of_ranks_best_first(ranker: Ranker) -> None:
    ranks = call(rerank.rank, {"query": "q", "texts": ["a", "b"], "return_text": True, "truncation_direction": "Left"})
    assert ranks == [{"index": 1, "score": 0.75, "text": "b"}, {"index": 0, "score": 0.25, "text": "a"}]
    parameters = ranker.seen.parameters
    assert (parameters.truncation_direction, parameters.truncate, parameters.raw_scores) == ("left", False, False)


def test_cohere_and_jina_get_results_with_tokens(ranker: Ranker) -> None:
    documents = ["a", {"text": "b"}]
    response = call(rerank.rerank, {"model": "ranker", "query": "q", "documents": documents, "return_documents": True})
    assert response["results"] == [
        {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
        {"index": 0, "relevance_score": 0.25, "document": {"text": "a"}},
    ]
    assert (response["id"], response["model"]) == ("r-1", "ranker")
    assert response["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert response["meta"]["tokens"] == {"input_tokens": 7}


def test_top_n_and_documents_that_are_not_returned(ranker: Ranker) -> None:
    response = call(rerank.rerank, {"model": "ranker", "query": "q", "documents": ["a", "b"], "top_n": 1})
    assert response["results"] == [{"index": 1, "relevance_score": 0.75}]


def test_no_documents_are_refused(ranker: Ranker) -> None:
    with pytest.raises(BadRequest, match="`documents` is empty"):
        call(rerank.rerank, {"model": "ranker", "query": "q", "documents": []})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank_fields": ["title", "text"]}, r"title.*rank_fields\[0\]"),
        ({"top_k": 1}, "did you mean `top_n`"),
        ({"return_document": True}, "did you mean `return_documents`"),
    ],
)
def test_fields_that_would_change_the_answer_are_not_ignored(
    ranker: Ranker, fields: dict[str, Any], message: str
) -> None:
    body = {"model": "ranker", "query": "q", "documents": [{"title": "a", "text": "b"}, "c"]}
    with pytest.raises(BadRequest, match=message):
        call(rerank.rerank, body | fields)
    harmless = {"rank_fields": ["text"], "max_chunks_per_doc": 10, "user": "u"}
    assert len(call(rerank.rerank, body | harmless)["results"]) == 2


def test_a_misspelt_field_of_tei_is_refused(ranker: Ranker) -> None:
    with pytest.raises(BadRequest, match="did you mean `raw_scores`"):
        call(rerank.rank, {"query": "q", "texts": ["a", "b"], "raw_score": True})


def test_an_error_has_the_fields_of_all_three_forms() -> None:
    error = msgspec.json.decode(rerank.encode_error(PayloadTooLarge("Too many texts"), "r-1"))
    assert {error[name] for name in ("error", "message", "detail")} == {"Too many texts"}
    assert error["request_id"] == "r-1"
    assert error["error_type"] == PayloadTooLarge("x").code
