"""The same recording to an imported speech model and to transformers' model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers

from hearth.models.heads import Whisper
from hearth.models.model import Model
from hearth.ops.audio.whisper import N_FRAMES, log_mel
from hearth.tasks.whisper import DecoderState
from hearth_build.importing.whisper_head import melody
from hearth_functions.speech_recognition import app as speech_recognition

RATE = 16_000


def recognition(model: Model[Any, Any], folder: Path) -> float:
    """The largest difference of a logit."""
    samples, _ = soundfile.read(io.BytesIO(melody()), dtype="float32")
    config = transformers.AutoConfig.from_pretrained(folder)
    network = getattr(transformers, config.architectures[0]).from_pretrained(folder, dtype=torch.float32).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    feeds = extractor(samples, sampling_rate=RATE, return_tensors="pt")
    if not isinstance(model.head, Whisper):
        with torch.no_grad():
            expected = network(**feeds).logits[0].log_softmax(-1).numpy()
        (_, inputs), *_ = speech_recognition.encode(model, samples)
        return float(np.abs(model.run(inputs)[0][0] - expected).max())
    tokens = [model.head.start, 5, 7, 11]
    with torch.no_grad():
        expected = network(**feeds, decoder_input_ids=torch.tensor([tokens])).logits[0].numpy()
    state = DecoderState(model, log_mel(samples, model.preprocessing.mels)[None, :, :N_FRAMES])
    first, last = state.feed(tokens[:2]), state.feed(tokens[2:])
    return float(max(np.abs(first - expected[1]).max(), np.abs(last - expected[3]).max()))


COMPARISONS = {"automatic-speech-recognition": recognition}
