from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import questions
from hearth_build.data.datasets import DataError
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.checkpoints import save_encoder
from tests.export.training.running import train_on, write_csv

PEOPLE, PLACES = ("anna", "otto", "mia"), ("rome", "oslo")


def squad(texts: int = 60) -> dict[str, Any]:
    """Who lives where: the answer follows the word `lives` or comes before it."""
    generator = random.Random(1)
    paragraphs = []
    for _ in range(texts):
        person, place = generator.choice(PEOPLE), generator.choice(PLACES)
        filler = [" ".join(generator.sample(toy.FILLER, generator.randint(1, 4))) for _ in range(2)]
        context = f"{filler[0]} . {person} lives in {place} . {filler[1]}"
        questions = [
            {"question": text, "answers": [{"text": answer, "answer_start": context.index(answer)}]}
            for text, answer in (("who lives in where", person), ("where is lives", place))
        ]
        paragraphs.append({"context": context, "qas": questions})
    return {"data": [{"title": "people", "paragraphs": paragraphs}]}


def test_questions_of_squad(tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text(json.dumps(squad()))
    base = save_encoder(tmp_path / "base")
    settings = {"epochs": 14, "learning_rate": 1e-2}
    manifest, answer = train_on(
        "question-answering", tmp_path / "people.json", tmp_path / "work", base=str(base), settings=settings
    )
    assert manifest.metrics.served["F1 (test)"] > 0.7
    context = "worda wordb . otto lives in oslo . wordc"
    assert answer({"question": "who lives in where", "context": context}) == "otto"
    assert answer({"question": "where is lives", "context": context}) == "oslo"
    assert "sentence with most words" in (tmp_path / "work/artifact/report.md").read_text()


@pytest.mark.parametrize("form", ["lists", "text"])
def test_answers_of_a_table(form: str, tmp_path: Path) -> None:
    context = "Anna bought the mill. The mill is old."
    answers: Any = {"text": ["The mill"], "answer_start": [22]} if form == "lists" else "mill"
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": 1, "question": "What?", "context": context, "answers": answers}))
    (example,) = questions.read(path)
    assert example.expected == [("The mill", 22) if form == "lists" else ("mill", 16)]


def test_answers_that_are_not_in_the_text_are_refused(tmp_path: Path) -> None:
    lines = [[f"question {number}", "a text about something", "other words"] for number in range(30)]
    data = write_csv(tmp_path / "a.csv", [["question", "context", "answer"], *lines])
    with pytest.raises(DataError, match="0 questions whose answer is a part of the text"):
        run(Plan(task="question-answering", name="tiny", data=str(data)), tmp_path / "work", "")
