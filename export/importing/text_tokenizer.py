"""A folder's tokenizer as one JSON file of the library `tokenizers`, exactly as transformers loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, normalizers

from hearth_build.data import sentencepiece
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
)
"""Files that transformers reads a tokenizer from."""


@dataclass(frozen=True)
class TextTokenizer:
    tokenizer: Tokenizer
    has_types: bool
    """Whether transformers gives the model the types of tokens, which tell the two texts of a pair apart."""
    pad_id: int | None
    """The token that batches are padded with."""

    def save(self, work: Path) -> None:
        self.tokenizer.save(str(work / "tokenizer.json"), pretty=False)


def read_tokenizer(source: Source) -> TextTokenizer:
    """Load the tokenizer. Raises RecipeError if the folder has none, or one without a JSON form."""
    folder = source.folder
    if (folder / "source.spm").is_file() and not (folder / "tokenizer.json").is_file():
        return build_marian(source)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise RecipeError(
            f"{folder} has no tokenizer.json. Save the tokenizer there: AutoTokenizer.from_pretrained(ORIGINAL)"
            ".save_pretrained(FOLDER)."
        )
    loaded = load_with_transformers(source) if (folder / "tokenizer_config.json").is_file() else load_alone(source)
    if source.read_json("sentence_bert_config.json").get("do_lower_case"):
        lower = [normalizers.Lowercase(), *([loaded.tokenizer.normalizer] if loaded.tokenizer.normalizer else [])]
        loaded.tokenizer.normalizer = normalizers.Sequence(lower)
    return loaded


def build_marian(source: Source) -> TextTokenizer:
    """Marian's tokenizer, which is saved as source.spm and vocab.json and has no JSON form in transformers."""
    if not (source.folder / "vocab.json").is_file():
        raise RecipeError(f"{source.folder} has no vocab.json: MarianTokenizer.save_pretrained() writes it.")
    try:
        tokenizer = sentencepiece.build_tokenizer(source.folder)
    except ValueError as error:
        raise RecipeError(f"The tokenizer cannot be imported: {error}.") from None
    return TextTokenizer(tokenizer, False, source.config.get("pad_token_id"))


def load_with_transformers(source: Source) -> TextTokenizer:
    """The tokenizer of the class that transformers chooses; a tokenizer.json that no class accepts is used as it is."""
    import transformers

    folder = source.folder

    transformers.utils.logging.set_verbosity_error()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # each class raises its own for files that do not fit
        if (folder / "tokenizer.json").is_file():
            return load_alone(source)
        raise RecipeError(f"The tokenizer in {folder} cannot be loaded: {str(error).splitlines()[0][:300]}") from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise RecipeError(
            f"The tokenizer in {folder} is a {type(tokenizer).__name__}, which has no form that the library tokenizers "
            "reads. Save it with its fast class."
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    return TextTokenizer(copy, "token_type_ids" in tokenizer.model_input_names, tokenizer.pad_token_id)


def load_alone(source: Source) -> TextTokenizer:
    """A tokenizer.json without its configuration: the types of tokens are those of its template."""
    path = source.folder / "tokenizer.json"
    if not path.is_file():
        raise RecipeError(f"{source.folder} has no tokenizer.json and no tokenizer_config.json.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise RecipeError(f"{path} cannot be read: {error}.") from None
    padding = tokenizer.padding
    tokenizer.no_padding()
    tokenizer.no_truncation()
    has_types = 1 in tokenizer.encode("a", "b").type_ids
    return TextTokenizer(tokenizer, has_types, padding["pad_id"] if padding else None)
