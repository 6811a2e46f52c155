"""The same tokens to an imported decoder and to transformers' model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from hearth.models.model import Model
from hearth.ops.text.sampling import log_probabilities
from hearth.tasks.generation import KeyValueCache, Sampling, generate

TOKENS = 60
PROMPT = 20
NEW = 24


def generation(model: Model[Any, Any], folder: Path) -> float:
    """The largest difference of a log-probability. Raises ValueError if greedy tokens differ."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = np.random.default_rng(3).integers(3, network.config.vocab_size, TOKENS).tolist()
    with torch.no_grad():
        expected = network(torch.tensor([tokens])).logits[0].numpy()
    logits = KeyValueCache(model, TOKENS).read(tokens, range(TOKENS))
    difference = float(np.abs(log_probabilities(logits) - log_probabilities(expected)).max())
    prompt = tokens[:PROMPT]
    output = network.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=NEW, pad_token_id=0)
    if [piece.token for piece in generate(model, prompt, NEW, Sampling())] != output[0, PROMPT:].tolist():
        raise ValueError("greedy tokens differ from transformers'")
    return difference


COMPARISONS = {"text-generation": generation}
