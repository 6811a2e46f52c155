"""Encoder-decoders of text: T5, BART, mBART, Pegasus, M2M100, NLLB, Marian and their relatives.

They are exported from safetensors by transformers' own class, or taken from the graphs that optimum wrote.
"""

from __future__ import annotations

import re
from typing import Any

from hearth.models.heads import Seq2Seq
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.recipe import MAX_BYTES, import_recipe
from hearth_build.importing.source import Source
from hearth_build.importing.text_tasks import is_classifier, max_tokens
from hearth_build.importing.text_tokenizer import TextTokenizer, read_tokenizer
from hearth_build.onnx_export import optimum_seq2seq
from hearth_build.recipe import DynamicInt8, Gate, RecipeError

TASKS = ("translation", "summarization", "text2text-generation")
TRANSLATORS = ("marian", "m2m_100", "nllb-moe", "mbart", "fsmt")
"""Values of `model_type` whose models translate."""
SUMMARIZERS = ("pegasus", "pegasus_x", "led", "bigbird_pegasus")
SPEECH = ("whisper", "moonshine", "moonshine_streaming", "speech_to_text", "speecht5", "speech-encoder-decoder")
MAX_TOKENS = 512
"""Largest number of tokens of a source and of an output where the model has no limit of its own."""
CHARACTERS_PER_TOKEN = 10
LANGUAGE_TOKENS = (
    re.compile(r"[a-z]{3}_[A-Z][a-z]{3}"),  # NLLB: eng_Latn
    re.compile(r"[a-z]{2}_[A-Z]{2}"),  # mBART: en_XX
    re.compile(r"__[a-z]{2,3}__"),  # M2M100: __en__
)
TEXTS = (
    "The house is small.",
    "Two children are playing in the park.",
    "Where can I buy a ticket to Berlin?",
)
"""Golden inputs: an import has no dev set, so the torch model and the served graph are compared on these."""
DIFFERENCE = 0.6
"""Largest accepted difference of a golden answer: rounding either exchanges whole words or changes nothing."""


def accepts(source: Source, options: ImportOptions) -> bool:
    config = source.config
    if source.is_file or not config.get("is_encoder_decoder") or "vocab_size" not in config:
        return False
    return source.model_type not in SPEECH and not is_classifier(source)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """From safetensors, or from the graphs of optimum, which need no torch. Raises RecipeError."""
    tokenizer = read_tokenizer(source)
    config = generation_config(source)
    task = task_of(source, options, config)
    fields: dict[str, Any]
    if source.weights:
        from hearth_build.importing.transformers_models import load_model
        from hearth_build.onnx_export import encoder_decoder

        model = load_model(source)
        shape = encoder_decoder.shape_of(model)
        fields = {
            "network": lambda work: model,
            "reference_model": encoder_decoder.EncoderDecoderReference,
            "graphs": encoder_decoder.graphs(model, *shape),
        }
    else:
        files = optimum_files(source)
        shape = optimum_seq2seq.shape_of(files)
        fields = {
            "graphs": {
                "main": lambda network, path: optimum_seq2seq.write_encoder(files, shape[0], path),
                "decoder": lambda network, path: optimum_seq2seq.write_decoder(files, shape[0], path, has_mask=True),
            }
        }
    longest = min(max_tokens(source), MAX_TOKENS)
    head = read_head(source, config, task, tokenizer, shape, longest)
    recipe = import_recipe(
        source,
        options,
        task=task,
        description=f"{source.architecture}, imported: {source.title}.",
        prepare=lambda work: tokenizer.save(work),
        golden=lambda: TEXTS,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=longest, pad_id=config.get("pad_token_id") or 0
        ),
        head=head,
        limits=Limits(batch=16, characters=CHARACTERS_PER_TOKEN * longest),
        gate=Gate(metric=0.0, quantization_loss=0.5, bytes=MAX_BYTES, difference=DIFFERENCE),
        **fields,
    )
    conclusions = [f"concluded the task: {task} (--task {', '.join(name for name in TASKS if name != task)})"]
    if head.prefix:
        conclusions.append(f"concluded the prefix of each text: {head.prefix!r}")
    if head.target:
        known = f"{len(head.target)} languages" if len(head.target) > 4 else ", ".join(head.target)
        conclusions.append(f"concluded the languages: from {head.source[0] if head.source else '?'} into {known}")
    conclusions.append(
        f"concluded the generation: {head.beams} beam(s), at most {head.max_new} tokens, length penalty "
        f"{head.length_penalty:g}"
    )
    form = "safetensors" if source.weights else "ONNX of optimum"
    return ImportedModel(
        recipe, [f"{source.architecture} of {source.title}, {form}", *conclusions], {"int8": DynamicInt8()}
    )


def optimum_files(source: Source) -> optimum_seq2seq.OptimumFiles:
    """Raises RecipeError if the folder lacks one of the graphs."""
    files = optimum_seq2seq.find_files(source.graphs)
    if files is None:
        names = ", ".join(path.name for path in source.graphs)
        raise RecipeError(
            f"{source.path} has the graphs {names}. An encoder-decoder needs encoder_model.onnx and "
            "decoder_model_merged.onnx, or decoder_model.onnx with decoder_with_past_model.onnx, as optimum-cli export "
            "onnx writes them; or give the folder or hub id of its safetensors."
        )
    return files


def generation_config(source: Source) -> dict[str, Any]:
    """config.json overridden by generation_config.json, as `generate` reads them."""
    return source.config | source.read_json("generation_config.json")


def task_of(source: Source, options: ImportOptions, config: dict[str, Any]) -> str:
    if options.task is not None:
        if options.task not in TASKS:
            raise RecipeError(f"{source.path} has a {source.architecture}, which serves {', '.join(TASKS)}.")
        return options.task
    if source.config["model_type"] in TRANSLATORS:
        return "translation"
    tasks = config.get("task_specific_params") or {}
    if source.config["model_type"] in SUMMARIZERS or list(tasks) == ["summarization"]:
        return "summarization"
    return "text2text-generation"


def read_head(
    source: Source,
    config: dict[str, Any],
    task: str,
    tokenizer: TextTokenizer,
    shape: tuple[int, int, int],
    longest: int,
) -> Seq2Seq:
    """How `generate` of transformers would be called for this task."""
    tasks = config.get("task_specific_params") or {}
    specific = next((values for name, values in tasks.items() if name.startswith(task.partition("-")[0])), {})
    if task == "text2text-generation":
        specific = {}
    config = config | specific
    eos = first(config.get("eos_token_id"), 1)
    start = first(config.get("decoder_start_token_id"), first(config.get("pad_token_id"), 0))
    suppressed = {words[0] for words in config.get("bad_words_ids") or () if len(words) == 1}
    suppressed |= set(config.get("suppress_tokens") or ())
    languages = language_ids(tokenizer)
    codes, targets = read_languages(source, tokenizer, languages)
    layers, heads, head_size = shape
    minimum = config.get("min_new_tokens") or max((config.get("min_length") or 0) - 1, 0)
    maximum = config.get("max_new_tokens") or (config.get("max_length") or longest) - 1
    return Seq2Seq(
        layers=layers,
        heads=heads,
        head_size=head_size,
        start=start,
        eos=eos,
        max_new=max(1, min(maximum, longest)),
        beams=config.get("num_beams") or 1,
        length_penalty=1.0 if config.get("length_penalty") is None else config["length_penalty"],
        source=codes,
        target=targets,
        language_ids=languages,
        prefix=str(specific.get("prefix") or config.get("prefix") or "").lstrip(),
        suppressed=tuple(sorted(suppressed)),
        forced_bos=config.get("forced_bos_token_id"),
        forced_eos=config.get("forced_eos_token_id") is not None,
        min_new=minimum,
        no_repeat_ngram=config.get("no_repeat_ngram_size") or 0,
        repetition_penalty=config.get("repetition_penalty") or 1.0,
        early_stopping=config.get("early_stopping") is True,
    )


def first(value: Any, default: int) -> int:
    """The first of several tokens, or the only one."""
    if value is None:
        return default
    return int(value[0] if isinstance(value, list) else value)


def language_ids(tokenizer: TextTokenizer) -> dict[str, int]:
    """The tokens of languages by code, for models that begin their output with one."""
    vocabulary = tokenizer.tokenizer.get_vocab()
    for pattern in LANGUAGE_TOKENS:
        tokens = {token: number for token, number in vocabulary.items() if pattern.fullmatch(token)}
        if len(tokens) > 1:
            return {token.strip("_"): tokens[token] for token in sorted(tokens, key=lambda token: tokens[token])}
    return {}


def read_languages(
    source: Source, tokenizer: TextTokenizer, languages: dict[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The source and target languages, the default first, from the tokenizer or from the model's name.

    A vocabulary with tokens such as `>>de<<` has several target languages.
    """
    config = source.read_json("tokenizer_config.json")
    given = str(config.get("src_lang") or config.get("source_lang") or "").strip("_")
    wanted = str(config.get("tgt_lang") or config.get("target_lang") or "").strip("_")
    if languages:
        if given not in languages:
            given = own_language(tokenizer, languages) or next(iter(languages))
        codes = (given, *(code for code in languages if code != given))
        target = wanted if wanted in languages else next(code for code in languages if code != given)
        return codes, (target, *(code for code in languages if code != target))
    name = str(source.config.get("_name_or_path") or source.title)
    match = re.search(r"opus-mt-([a-z_]+)-([a-z_]+)$", name.partition("@")[0])
    given, wanted = given or (match[1] if match else ""), wanted or (match[2] if match else "")
    ids = tokenizer.tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    targets = tuple(token[2:-2] for token in tokens if re.fullmatch(r">>[\w-]+<<", token))
    return (given,) if given else (), targets or ((wanted,) if wanted else ())


def own_language(tokenizer: TextTokenizer, languages: dict[str, int]) -> str:
    """The language that the tokenizer writes into a source by itself; empty if it writes none."""
    ids = set(tokenizer.tokenizer.encode("a").ids)
    return next((code for code, number in languages.items() if number in ids), "")


IMPORTERS = (Importer("encoder-decoders of text", accepts, read),)
