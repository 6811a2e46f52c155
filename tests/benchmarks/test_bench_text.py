"""The benchmark's engines and their inputs, with a real process and a real tokenizer."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import text_peers
from tests.benchmarks.engines.turns import Tokens, repeated, token_by_token
from tests.benchmarks.text_models import build_once, text, word_tokenizer
from tests.benchmarks.worker import worker
from tests.support.artifacts import make_text_artifact


def test_our_engine_responds_to_each_line_with_its_seconds(tmp_path: Path) -> None:
    artifact = make_text_artifact(tmp_path)
    with worker(text_peers.hearth("bert_hearth", artifact, "1", "a great film", "a bad one")) as turn:
        for _ in range(2):
            figures = turn()
            assert figures["processor"] > 0
            assert figures["seconds"] > 0
            assert figures["peak_mb"] > 20


def test_figures_separate_the_first_token_from_the_others() -> None:
    assert token_by_token(range(5)).keys() == {"prefill", "seconds", "processor"}
    clock = Tokens()
    clock.started, clock.times, clock.processor = 1.0, [3.0, 3.5, 4.0], [1.0, 1.25, 1.5]
    assert clock.figures() == {"prefill": 2.0, "seconds": 0.5, "processor": 0.25}
    calls: list[int] = []
    repeated(lambda: calls.append(1), seconds=0)
    assert calls == [1]


def test_a_text_has_the_requested_number_of_tokens(tmp_path: Path) -> None:
    folder = build_once(
        tmp_path / "tokenizer", lambda target: word_tokenizer(500, last=("<pad>",)).save(str(target / "tokenizer.json"))
    )
    tokenizer = word_tokenizer(500, last=("<pad>",))
    assert tokenizer.get_vocab_size() == 500
    assert tokenizer.token_to_id("<pad>") == 499
    assert len(tokenizer.encode(text(folder, 30)).ids) == 30
    assert build_once(folder, lambda target: target.rename("nowhere")) == folder
