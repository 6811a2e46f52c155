"""OpenAI's HTTP API: models, completions, chat completions, responses, embeddings, transcriptions."""

from __future__ import annotations

from hearth.protocols.base import EVENT_STREAM, Protocol, Route, named_model
from hearth.protocols.openai import common, schema
from hearth.protocols.openai.chat import create_chat_completion
from hearth.protocols.openai.completions import create_completion
from hearth.protocols.openai.embeddings import EmbeddingRequest, EmbeddingResponse, create_embedding
from hearth.protocols.openai.models import OpenAIModel, OpenAIModelList, list_models, retrieve_model
from hearth.protocols.openai.responses import create_response
from hearth.protocols.openai.responses_schema import ModelResponse, ResponseRequest
from hearth.protocols.openai.transcriptions import Transcription, create_transcription, create_translation

PROTOCOL = Protocol(
    name="openai",
    title="OpenAI",
    prefixes=("/v1",),
    routes=(
        Route(
            "GET",
            "/v1/models",
            list_models,
            "list_openai_models",
            "List the models",
            response_schema=OpenAIModelList,
        ),
        Route(
            "GET",
            "/v1/models/{name}",
            retrieve_model,
            "retrieve_openai_model",
            "Retrieve a model",
            response_schema=OpenAIModel,
        ),
        Route(
            "POST",
            "/v1/completions",
            create_completion,
            "create_completion",
            "Create a completion",
            schema.CompletionRequest,
            schema.Completion,
            response_media_types=(EVENT_STREAM,),
        ),
        Route(
            "POST",
            "/v1/chat/completions",
            create_chat_completion,
            "create_chat_completion",
            "Create a chat completion",
            schema.ChatCompletionRequest,
            schema.ChatCompletion,
            response_media_types=(EVENT_STREAM,),
        ),
        Route(
            "POST",
            "/models/{name}/v1/chat/completions",
            create_chat_completion,
            "create_model_chat_completion",
            "Create a chat completion by the model of the path",
            schema.ChatCompletionRequest,
            schema.ChatCompletion,
            response_media_types=(EVENT_STREAM,),
            model_name=named_model,
        ),
        Route(
            "POST",
            "/v1/responses",
            create_response,
            "create_response",
            "Create a response",
            ResponseRequest,
            ModelResponse,
            response_media_types=(EVENT_STREAM,),
        ),
        Route(
            "POST",
            "/v1/embeddings",
            create_embedding,
            "create_embedding",
            "Create embeddings",
            EmbeddingRequest,
            EmbeddingResponse,
        ),
        Route(
            "POST",
            "/v1/audio/transcriptions",
            create_transcription,
            "create_transcription",
            "Transcribe a recording",
            response_schema=Transcription,
            request_media_types=("multipart/form-data",),
            response_media_types=("text/plain",),
        ),
        Route(
            "POST",
            "/v1/audio/translations",
            create_translation,
            "create_translation",
            "Transcribe a recording in English",
            response_schema=Transcription,
            request_media_types=("multipart/form-data",),
            response_media_types=("text/plain",),
        ),
    ),
    encode_error=common.encode_error,
    error_headers=common.error_headers,
    error_schema=common.OpenAIError,
)
