"""OpenAI's HTTP API: models, completions, chat completions, embeddings, transcriptions."""

from __future__ import annotations

from hearth.call import EVENTS, Dialect, Route
from hearth.dialects.openai import audio, form, text
from hearth.dialects.openai import embeddings as vectors
from hearth.dialects.openai.audio import transcriptions
from hearth.dialects.openai.chat import chat
from hearth.dialects.openai.completions import completions
from hearth.dialects.openai.models import Model, Models, model, models

DIALECT = Dialect(
    name="openai",
    prefixes=("/v1",),
    routes=(
        Route("GET", "/v1/models", models, "What is served", gives=Models),
        Route("GET", "/v1/models/{name}", model, "A model", gives=Model),
        Route(
            "POST",
            "/v1/completions",
            completions,
            "Go on with a text",
            text.CompletionRequest,
            text.Completion,
            gives_also=(EVENTS,),
        ),
        *(
            Route(
                "POST", path, chat, "Answer a conversation", text.ChatRequest, text.ChatCompletion, gives_also=(EVENTS,)
            )
            for path in ("/v1/chat/completions", "/models/{name}/v1/chat/completions")
        ),
        Route("POST", "/v1/embeddings", vectors.embeddings, "Texts as vectors", vectors.Request, vectors.Response),
        Route(
            "POST",
            "/v1/audio/transcriptions",
            transcriptions,
            "What is said in a recording",
            gives=audio.Transcription,
            takes_also=("multipart/form-data",),
            gives_also=("text/plain",),
        ),
    ),
    error=form.error,
    headers=form.headers,
    failure=form.Failure,
)
