"""Test cases of LangChain, LlamaIndex and LiteLLM, run in their own environment. Each line of standard input is the
address of a server; the script prints a JSON object that has `null` or a traceback for each case."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch one

import litellm
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

CHAT, VECTORS = "gpt-shakespeare", "embeddings-en"
TURNS = 3
LONG = "word " * 3000

Case = Callable[[str], None]


def options(address: str, url: str) -> dict[str, Any]:
    return {url: f"{address}/v1", "api_key": "none"}


def converse(chat: Any) -> None:
    """Send every answer back with the next message."""
    messages: list[Any] = [SystemMessage("Be brief."), HumanMessage("Who are you?")]
    for _ in range(TURNS):
        answer = chat.invoke(messages)
        assert answer.text
        assert answer.usage_metadata["output_tokens"] > 0
        messages += [answer, HumanMessage("And then?")]
    assert "".join(chunk.text for chunk in chat.stream(messages))


def langchain_conversation(address: str) -> None:
    converse(ChatOpenAI(model=CHAT, max_tokens=5, **options(address, "base_url")))


def langchain_responses(address: str) -> None:
    converse(ChatOpenAI(model=CHAT, max_tokens=5, use_responses_api=True, **options(address, "base_url")))


def langchain_completion(address: str) -> None:
    assert OpenAI(model=CHAT, max_tokens=5, **options(address, "base_url")).invoke("ROMEO:")


def langchain_embeddings(address: str) -> None:
    embeddings = OpenAIEmbeddings(model=VECTORS, check_embedding_ctx_length=False, **options(address, "base_url"))
    assert len(embeddings.embed_query("a dog")) == 256
    assert len(embeddings.embed_documents(["a dog", "a cat"])) == 2


def litellm_conversation(address: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "Who are you?"}]
    for _ in range(TURNS):
        response = litellm.completion(f"openai/{CHAT}", messages, max_tokens=5, **options(address, "api_base"))
        message = response.choices[0].message
        assert message.content
        messages += [message.model_dump(), {"role": "user", "content": "And then?"}]
    stream = litellm.completion(f"openai/{CHAT}", messages, max_tokens=5, stream=True, **options(address, "api_base"))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def litellm_responses(address: str) -> None:
    response = litellm.responses("Who are you?", f"openai/{CHAT}", max_output_tokens=5, **options(address, "api_base"))
    assert response.output[0].content[0].text


def litellm_embeddings(address: str) -> None:
    response = litellm.embedding(f"openai/{VECTORS}", ["a dog", "a cat"], **options(address, "api_base"))
    assert [len(row["embedding"]) for row in response.data] == [256, 256]


def litellm_recognises_a_long_conversation(address: str) -> None:
    messages = [{"role": "user", "content": LONG}]
    try:
        litellm.completion(f"openai/{CHAT}", messages, max_tokens=5, **options(address, "api_base"))
    except litellm.ContextWindowExceededError:
        return
    raise AssertionError("the conversation was not refused")


def llama_index_conversation(address: str) -> None:
    model = OpenAILike(model=CHAT, is_chat_model=True, max_tokens=5, **options(address, "api_base"))
    messages = [ChatMessage(role="user", content="Who are you?")]
    for _ in range(TURNS):
        answer = model.chat(messages).message
        assert answer.content
        messages += [answer, ChatMessage(role="user", content="And then?")]
    assert [chunk.delta for chunk in model.stream_chat(messages)]
    engine = SimpleChatEngine.from_defaults(llm=model)
    assert all(str(engine.chat(text)) for text in ("Who are you?", "And then?"))


def llama_index_completion(address: str) -> None:
    assert OpenAILike(model=CHAT, max_tokens=5, **options(address, "api_base")).complete("ROMEO:").text


def llama_index_embeddings(address: str) -> None:
    embeddings = OpenAILikeEmbedding(model_name=VECTORS, **options(address, "api_base"))
    assert len(embeddings.get_text_embedding("a dog")) == 256


CASES: tuple[Case, ...] = (
    langchain_conversation,
    langchain_responses,
    langchain_completion,
    langchain_embeddings,
    litellm_conversation,
    litellm_responses,
    litellm_embeddings,
    litellm_recognises_a_long_conversation,
    llama_index_conversation,
    llama_index_completion,
    llama_index_embeddings,
)


def run(address: str) -> dict[str, str | None]:
    results: dict[str, str | None] = {}
    for case in CASES:
        try:
            with redirect_stdout(sys.stderr):  # LiteLLM prints advice
                case(address)
        except Exception:
            results[case.__name__] = traceback.format_exc()
        else:
            results[case.__name__] = None
    return results


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(line.strip())), flush=True)
