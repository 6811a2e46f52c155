from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.encoder_decoders import accepts, first, optimum_files, read_head, read_languages, task_of
from hearth_build.importing.source import Source
from hearth_build.importing.text_tokenizer import TextTokenizer
from hearth_build.recipe import RecipeError


def source(title: str = "tiny", folder: Path = Path("/models/a"), **config: Any) -> Source:
    fields = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 9}
    return Source(folder, title, {**fields, "is_encoder_decoder": True, **config})


def tokenizer(*tokens: str) -> TextTokenizer:
    return TextTokenizer(Tokenizer(WordLevel({token: n for n, token in enumerate(("a", *tokens))}, "a")), False, 0)


def head(config: dict[str, Any], task: str = "text2text-generation") -> Any:
    return read_head(source(), config, task, tokenizer(), (2, 4, 8), 512)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"model_type": "marian"}, "translation"),
        ({"model_type": "pegasus"}, "summarization"),
        ({"model_type": "bart", "task_specific_params": {"summarization": {}}}, "summarization"),
        ({}, "text2text-generation"),
    ],
)
def test_the_task_is_that_of_the_family(config: dict[str, Any], task: str) -> None:
    given = source(**config)
    assert task_of(given, ImportOptions(), given.config) == task
    with pytest.raises(RecipeError, match="which serves translation, summarization, text2text-generation"):
        task_of(given, ImportOptions(task="fill-mask"), given.config)


def test_generation_is_that_of_the_configuration_for_the_task() -> None:
    config = {
        "eos_token_id": [1, 2],
        "decoder_start_token_id": 5,
        "num_beams": 4,
        "max_length": 20,
        "min_length": 3,
        "bad_words_ids": [[7], [8, 9]],
        "task_specific_params": {"summarization": {"prefix": "summarize: ", "num_beams": 2}},
    }
    made = head(config)
    assert (made.eos, made.start, made.beams, made.max_new, made.min_new) == (1, 5, 4, 19, 2)
    assert (made.suppressed, made.prefix) == ((7,), "")
    assert (head(config, "summarization").beams, head(config, "summarization").prefix) == (2, "summarize: ")
    assert head({}).max_new == 511
    assert first(None, 3) == 3


@pytest.mark.parametrize(
    ("title", "tokens", "languages"),
    [
        ("Helsinki-NLP/opus-mt-en-de@1", (), (("en",), ("de",))),
        ("owner/mine", (">>fr<<", ">>es<<"), ((), ("fr", "es"))),
        ("owner/mine", (), ((), ())),
    ],
)
def test_languages_are_those_of_the_name_or_the_tokens(title: str, tokens: Any, languages: Any, tmp_path: Path) -> None:
    assert read_languages(source(title, tmp_path), tokenizer(*tokens), {}) == languages


def test_tokens_of_languages_have_a_default(tmp_path: Path) -> None:
    codes = {"eng_Latn": 1, "deu_Latn": 2, "fra_Latn": 3}
    (tmp_path / "tokenizer_config.json").write_text('{"src_lang": "deu_Latn"}')
    given, target = read_languages(source(folder=tmp_path), tokenizer(*codes), codes)
    assert (given[0], target[0]) == ("deu_Latn", "eng_Latn")
    assert set(given) == set(target) == set(codes)


def test_speech_and_classifiers_are_left_to_others() -> None:
    assert accepts(source(), ImportOptions())
    assert not accepts(source(model_type="whisper"), ImportOptions())
    assert not accepts(source(architectures=["BartForSequenceClassification"]), ImportOptions())
    assert not accepts(source(is_encoder_decoder=False), ImportOptions())


def test_a_folder_without_one_of_the_graphs_names_them() -> None:
    given = Source(Path("/models/a"), "tiny", {}, (Path("/models/a/encoder_model.onnx"),))
    with pytest.raises(RecipeError, match=r"has the graphs encoder_model.onnx. An encoder-decoder needs"):
        optimum_files(given)
