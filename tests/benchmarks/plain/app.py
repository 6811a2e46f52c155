"""A classifier served from Lambda as tutorials do it, for comparison."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import numpy as np
import onnxruntime
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

TRANSFORMERS = os.environ["TOKENIZER"] == "transformers"
FILES = ("model.onnx", "tokenizer.json", "tokenizer_config.json")

if TRANSFORMERS:
    from transformers import AutoTokenizer
else:
    from tokenizers import Tokenizer

folder = os.environ["TMPDIR"]
s3 = boto3.client("s3")
for name in FILES:
    s3.download_file(os.environ["BUCKET"], f"plain/{name}", f"{folder}/{name}")
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
tokenizer = AutoTokenizer.from_pretrained(folder) if TRANSFORMERS else Tokenizer.from_file(f"{folder}/tokenizer.json")
labels = json.loads(os.environ["LABELS"])
app = FastAPI()


class Request(BaseModel):
    inputs: str


def encode(text: str) -> dict[str, Any]:
    if TRANSFORMERS:
        encoding = tokenizer(text, return_tensors="np")
        return {name: encoding[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
    encoding = tokenizer.encode(text)
    return {"input_ids": np.array([encoding.ids]), "attention_mask": np.array([encoding.attention_mask])}


@app.post("/models/{name}")
def classify(name: str, request: Request) -> list[dict[str, float | str]]:
    logits = session.run(["logits"], encode(request.inputs))[0][0]
    exponents = np.exp(logits - logits.max())
    scores = exponents / exponents.sum()
    order = np.argsort(-scores)
    return [{"label": labels[index], "score": float(scores[index])} for index in order]


handler = Mangum(app, lifespan="off")
