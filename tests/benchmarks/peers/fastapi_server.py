"""uvicorn and FastAPI: a plain function, which FastAPI runs on its thread pool."""

from __future__ import annotations

from fastapi import FastAPI
from model import Classifier
from pydantic import BaseModel

app, classify = FastAPI(), Classifier()


class TextRequest(BaseModel):
    inputs: str


@app.post("/models/random-bert")
def classify_text(request: TextRequest) -> list[dict[str, object]]:
    return classify(request.inputs)
