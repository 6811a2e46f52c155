"""uvicorn and FastAPI: a plain function, which FastAPI runs on its threads."""

from __future__ import annotations

from fastapi import FastAPI
from model import Classifier
from pydantic import BaseModel

app, classify = FastAPI(), Classifier()


class Asked(BaseModel):
    inputs: str


@app.post("/models/random-bert")
def answer(asked: Asked) -> list[dict[str, object]]:
    return classify(asked.inputs)
