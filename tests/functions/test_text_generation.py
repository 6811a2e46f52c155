"""text-generation: greedy tokens equal those of transformers for GPT-2 and Llama; parameters and refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.model import Model
from hearth.tasks.generation import CHUNK, KeyValueCache, log_likelihoods
from hearth_build.evaluations import text_generation
from hearth_functions.text_generation import app
from tests.functions.checkpoints import ModelClient, build_model, serve

CONTEXT = 200
TEMPLATE = """{{ bos_token }}{% for message in messages %}
{% if message.role == 'system' and not loop.first %}{{ raise_exception('The system speaks first') }}{% endif %}
<{{ message.role }}> {{ message.content }}{% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}"""
PROMPT = "The quick brown fox"
LONG = PROMPT * 27
"""A prompt of more tokens than a chunk has."""
PROMPTS = ("The quick brown fox", "我非常喜欢", "a", "def add(a, b):\n    return")
SCALED_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 50,
}
SHAPE = {"vocab_size": 400, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3}


def tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer that starts every text with <s>."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([PROMPT + " jumps over the lazy dog; the dog did not mind the fox"] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return bpe


def save(folder: Path, kind: str) -> Any:
    torch.manual_seed(5)
    if kind == "gpt2":
        gpt = transformers.GPT2Config(n_positions=CONTEXT, n_embd=32, n_layer=3, n_head=4, **SHAPE)
        network: Any = transformers.GPT2LMHeadModel(gpt)
    else:
        llama = transformers.LlamaConfig(
            hidden_size=64,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=kind == "stretched-llama",
            rope_parameters=SCALED_ROPE if kind == "stretched-llama" else None,
            **SHAPE,
        )
        network = transformers.LlamaForCausalLM(llama)
    network.eval().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    if kind == "llama":
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return network


@pytest.fixture(scope="module", params=["gpt2", "llama", "stretched-llama"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Model]:
    """A checkpoint in transformers, and the same checkpoint served in fp32."""
    folder = tmp_path_factory.mktemp(request.param)
    return save(folder, request.param), build_model(folder, folder / "work")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoder")


@pytest.fixture(scope="module")
def llama(folder: Path) -> Model:
    save(folder, "llama")
    return build_model(folder, folder / "work")


@pytest.fixture(scope="module")
def ask(llama: Model, folder: Path) -> Iterator[ModelClient]:
    with serve(llama, folder / "work", app.TASKS) as model_client:
        yield model_client


def generate(model: Model, inputs: str, **parameters: Any) -> app.GeneratedText:
    return app.predict(model, app.Request(inputs, app.Parameters(**parameters))).output[0]


def generate_tokens(model: Model, inputs: str, **parameters: Any) -> list[int]:
    details = generate(model, inputs, details=True, **parameters).details
    assert details is not None
    return [token.id for token in details.tokens]


def test_greedy_tokens_equal_transformers(pair: tuple[Any, Model]) -> None:
    network, model = pair
    assert model.tokenizer is not None
    for prompt in (*PROMPTS, LONG):
        ids = model.tokenizer.encode(prompt).ids
        max_new_tokens = CONTEXT - len(ids) if prompt == LONG else 20
        with torch.no_grad():
            expected = network.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=0
            )
        assert generate_tokens(model, prompt, max_new_tokens=max_new_tokens) == expected[0, len(ids) :].tolist()


def test_penalised_greedy_tokens_equal_transformers(pair: tuple[Any, Model]) -> None:
    network, model = pair
    assert model.tokenizer is not None
    ids = torch.tensor([model.tokenizer.encode(PROMPT).ids])
    with torch.no_grad():
        expected = network.generate(ids, do_sample=False, max_new_tokens=60, pad_token_id=0, repetition_penalty=1.4)
    assert (
        generate_tokens(model, PROMPT, max_new_tokens=60, repetition_penalty=1.4)
        == expected[0, ids.shape[1] :].tolist()
    )


def test_generation_stops_at_the_deadline(llama: Model) -> None:
    request = app.Request(PROMPT, app.Parameters(max_new_tokens=100))
    pieces = []
    for piece in app.stream(llama, request):
        pieces.append(piece)
        if len(pieces) == 2:
            time.sleep(0.3)  # a slow reader
        if len(pieces) == 3:
            deadline.set_seconds(0.5)
    deadline.set_from(None)
    assert [piece.finish for piece in pieces] == [None, None, None, "length"]
    assert len(list(app.stream(llama, request))) == 100


def test_log_likelihoods_equal_transformers(pair: tuple[Any, Model]) -> None:
    network, model = pair
    ids = np.random.default_rng(0).integers(3, 300, CHUNK + 40).tolist()
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0, :-1].log_softmax(1)
    expected = logits[range(len(ids) - 1), ids[1:]].numpy()
    np.testing.assert_allclose(log_likelihoods(model, ids), expected, rtol=1e-4, atol=1e-4)


def test_nats_per_character_of_a_text_longer_than_the_context(llama: Model, tmp_path: Path) -> None:
    text = (PROMPT + " 我. ") * 60
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    ids = text_generation.tokens_of(llama, text)
    windows = list(text_generation.windows(ids, CONTEXT))
    ends = np.cumsum([1, *(scored for _, scored in windows)])
    assert ends[-1] == len(ids) > 2 * CONTEXT
    for (window, scored), end in zip(windows, ends[1:], strict=True):
        assert list(window) == ids[end - len(window) : end]
        assert end == len(window) or len(window) - scored >= CONTEXT // 2
    metrics = text_generation.EVALUATION.measure(llama, text_generation.EVALUATION.read(tmp_path / "text.txt"))
    nats = -sum(log_likelihoods(llama, window)[-scored:].sum() for window, scored in windows)
    assert metrics["nats a token"] == pytest.approx(nats / (len(ids) - 1), rel=1e-5)
    assert llama.tokenizer is not None
    characters = len(text) - len(llama.tokenizer.decode(ids[:1]))  # the first token is not predicted
    assert metrics["nats a character"] == pytest.approx(nats / characters, rel=1e-5)


def test_the_cache_is_one_buffer_that_the_graph_writes(llama: Model) -> None:
    cache = KeyValueCache(llama, 40)
    cache._buffer.fill(np.nan)
    cache.read_prompt([1, 7, 8])
    cache.read([9])
    assert np.isfinite(cache._buffer[..., :4, :]).all()
    assert np.isnan(cache._buffer[..., 4:, :]).all()


def test_details_have_tokens_and_their_log_probabilities(llama: Model) -> None:
    output = generate(llama, PROMPT, max_new_tokens=12, details=True, decoder_input_details=True)
    details = output.details
    assert details is not None
    assert llama.tokenizer is not None
    assert "".join(token.text for token in details.tokens) == output.generated_text
    prompt = llama.tokenizer.encode(PROMPT).ids
    expected = log_likelihoods(llama, [*prompt, *(token.id for token in details.tokens)])
    actual = [token.logprob for token in (*details.prefill, *details.tokens)]
    assert actual[0] is None
    np.testing.assert_allclose(np.array(actual[1:], np.float32), expected, atol=1e-4)
    assert details.generated_tokens == 12
    assert details.finish_reason == "length"


def test_a_seed_repeats_an_output_and_details_have_the_seed(llama: Model) -> None:
    first = generate(llama, PROMPT, do_sample=True, details=True, max_new_tokens=20)
    assert first.details is not None
    assert first.details.seed is not None
    again = generate(llama, PROMPT, do_sample=True, seed=first.details.seed, max_new_tokens=20)
    assert again.generated_text == first.generated_text
    others = {generate(llama, PROMPT, do_sample=True, seed=seed, max_new_tokens=20).generated_text for seed in range(5)}
    assert len(others) > 1


def test_sampling_of_one_candidate_is_greedy(llama: Model) -> None:
    greedy = generate_tokens(llama, PROMPT, max_new_tokens=20)
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 0.0, "do_sample": True}, {"temperature": 1e-4}):
        assert generate_tokens(llama, PROMPT, max_new_tokens=20, seed=1, **options) == greedy
    assert generate_tokens(llama, PROMPT, max_new_tokens=20, temperature=3.0, do_sample=False) == greedy


def test_penalties_reduce_repetition(llama: Model) -> None:
    plain = generate_tokens(llama, PROMPT, max_new_tokens=60)
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 2.0}):
        assert len(set(generate_tokens(llama, PROMPT, max_new_tokens=60, **penalty))) > len(set(plain))


def test_a_stop_string_ends_the_text_at_any_token_boundary(llama: Model) -> None:
    text = generate(llama, PROMPT, max_new_tokens=40).generated_text
    for start in range(3, 12):
        stop = text[start : start + 4]
        output = generate(llama, PROMPT, max_new_tokens=40, stop=["never said", stop], details=True)
        assert output.generated_text == text[: text.index(stop)]
        assert output.details is not None
        assert output.details.finish_reason == "stop_sequence"


def test_streamed_pieces_hold_whole_characters(llama: Model) -> None:
    request = app.Request("我非常", app.Parameters(max_new_tokens=80, do_sample=True, seed=3))
    pieces = app.stream(llama, request)
    first = next(pieces)
    assert first.finish is None
    texts = [first.text, *(piece.text for piece in pieces)]
    assert "" in texts  # a token that holds only part of a character
    assert "".join(texts) == app.predict(llama, request).output[0].generated_text


def test_the_end_token_ends_the_text_and_is_not_part_of_it(llama: Model) -> None:
    for seed in range(40):
        output = generate(llama, PROMPT, max_new_tokens=150, temperature=5.0, seed=seed, details=True)
        assert output.details is not None
        if output.details.finish_reason == "eos_token":
            break
    assert output.details.tokens[-1].id == 2
    assert output.details.tokens[-1].special
    assert "</s>" not in output.generated_text


def test_concurrent_requests_do_not_affect_each_other(llama: Model) -> None:
    expected = [generate_tokens(llama, prompt, max_new_tokens=60) for prompt in PROMPTS]
    actual: list[list[int]] = [[] for _ in PROMPTS]

    def run(number: int) -> None:
        actual[number] = generate_tokens(llama, PROMPTS[number], max_new_tokens=60)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert actual == expected


def test_messages_are_rendered_by_the_models_template(llama: Model, folder: Path) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who are you?"}]
    reference = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )
    request = app.Request(messages=[app.Message(**message) for message in messages])  # type: ignore[arg-type]
    expected = reference.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert app.encode(llama, request) == expected
    assert expected.count(1) == 1


def test_messages_refused_by_the_template_are_a_bad_request(ask: ModelClient, pair: tuple[Any, Model]) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
    response = ask({"messages": messages})
    assert response.status_code == 400
    assert "The system speaks first" in response.json()["error"]
    if pair[1].resources:
        return
    with pytest.raises(BadRequest, match="no chat template"):
        app.predict(pair[1], app.Request(messages=[app.Message("user", "a")]))


def test_too_long_prompts_are_refused(llama: Model) -> None:
    with pytest.raises(PayloadTooLarge, match=r"has \d+ tokens and `max_new_tokens` is 199"):
        generate(llama, PROMPT, max_new_tokens=199)
    with pytest.raises(PayloadTooLarge, match=r"has (\d{3}) tokens and `max_new_tokens` is 1;"):
        generate(llama, "x" * 300)
    with pytest.raises(PayloadTooLarge, match="characters"):
        generate(llama, "x" * 5000)
    assert len(generate_tokens(llama, PROMPT * 8)) == 100
    prompt_length = len(app.encode(llama, app.Request(PROMPT)))
    assert len(generate_tokens(llama, PROMPT, max_new_tokens=CONTEXT - prompt_length)) == CONTEXT - prompt_length


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": "a", "parameters": {"max_new_tokens": 0}}, "max_new_tokens"),
        ({"inputs": "a", "parameters": {"temperature": -1}}, "temperature"),
        ({"inputs": "a", "parameters": {"top_p": 0}}, "top_p"),
        ({"inputs": "a", "parameters": {"repetition_penalty": 1e-300}}, "repetition_penalty"),
        ({"inputs": "a", "parameters": {"seed": 10**30}}, "seed"),
        ({"inputs": "a", "parameters": {"stop": [""]}}, "stop"),
        ({"inputs": "a", "parameters": {"typical_p": 0.5}}, "`model_kwargs` are not used by the model: ['typical_p']"),
        ({"inputs": "a", "stream": "yes"}, "stream"),
        ({"inputs": "a", "messages": [{"role": "user", "content": "a"}]}, "either `inputs`"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "role"),
        ({"messages": []}, "messages"),
        ({}, "either `inputs`"),
        ({"inputs": 5}, "inputs"),
    ],
)
def test_a_refused_request_says_why(ask: ModelClient, body: dict[str, Any], message: str) -> None:
    response = ask(body)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_the_hugging_face_client_reads_the_response(ask: ModelClient) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 5, "return_full_text": True}, "stream": False}
    output = ask(body).json()
    assert list(output[0]) == ["generated_text"]
    assert output[0]["generated_text"].startswith(PROMPT)
    body["parameters"] = {"max_new_tokens": 5, "details": True, "decoder_input_details": True}
    output = ask(body).json()
    parsed = parse_with_client(output)
    assert parsed.details.finish_reason == "length"
    assert parsed.details.generated_tokens == 5
    assert parsed.details.prefill[1].logprob < 0


def parse_with_client(output: Any) -> Any:
    """Parse a response as InferenceClient.text_generation does."""
    from huggingface_hub import TextGenerationOutput

    return TextGenerationOutput.parse_obj_as_list(output)[0]
