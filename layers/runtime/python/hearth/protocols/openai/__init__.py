"""OpenAI's HTTP API: models, completions, chat completions, embeddings, transcriptions."""

from __future__ import annotations

from hearth.protocols.base import EVENTS, Dialect, Route
from hearth.protocols.openai import common, schema
from hearth.protocols.openai.chat import chat
from hearth.protocols.openai.completions import completions
from hearth.protocols.openai.embeddings import Request, Response, embeddings
from hearth.protocols.openai.models import Model, Models, model, models
from hearth.protocols.openai.transcriptions import Transcription, transcriptions

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
            schema.CompletionRequest,
            schema.Completion,
            gives_also=(EVENTS,),
        ),
        *(
            Route(
                "POST",
                path,
                chat,
                "Answer a conversation",
                schema.ChatRequest,
                schema.ChatCompletion,
                gives_also=(EVENTS,),
            )
            for path in ("/v1/chat/completions", "/models/{name}/v1/chat/completions")
        ),
        Route("POST", "/v1/embeddings", embeddings, "Texts as vectors", Request, Response),
        Route(
            "POST",
            "/v1/audio/transcriptions",
            transcriptions,
            "What is said in a recording",
            gives=Transcription,
            takes_also=("multipart/form-data",),
            gives_also=("text/plain",),
        ),
    ),
    error=common.error,
    headers=common.headers,
    failure=common.Failure,
)
