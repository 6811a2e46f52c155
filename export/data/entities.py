"""Texts with named entities: CoNLL files, and JSON of labelling tools (Doccano, Label Studio, Prodigy)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import read_json, read_text
from hearth_build.data.tables import Role, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CoNLL file (on each line a token, a word or a character, and its label B-X, I-X or O, and an empty line between "
    "sentences), CSV or XLSX with a token, its label and its sentence in each row, or JSON, JSON lines or Parquet "
    "with `tokens` and `tags`, or with `text` and spans, as Doccano, Label Studio, Prodigy and spaCy write them"
)
BEGIN_PREFIXES, INSIDE_PREFIXES = ("B-", "S-", "U-"), ("I-", "M-", "E-", "L-")
"""Label prefixes of the BIO, BMES, BIOES and BILOU schemes."""
DOCUMENT_START = "-DOCSTART-"
"""Marks the beginning of a document in CoNLL 2003."""
Span = list[Any]
"""[start, end, entity type], with positions in characters of the text."""
WORDS = (
    Role("token", ("token", "word", "tokens", "words")),
    Role("tag", ("tag", "ner_tag", "label", "ner", "tags", "ner_tags")),
    Role("sentence", ("sentence_#", "sentence_id", "sentence", "sent_id", "sentence_number")),
)
"""Columns of a table with a token in each row."""
SPANS = ("label", "labels", "entities", "spans")
"""Fields that hold spans."""
TAGS = ("tags", "labels", "ner_tags", "ner")
"""Fields that hold a label for each token."""


def read(path: Path) -> list[Example]:
    """Read examples; `expected` is a list of spans without white space at their ends. Raises DataError."""
    try:
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson", ".parquet"):
            items = read_json(path) if path.suffix.lower() != ".parquet" else read_table(path, ()).rows
            return [json_example(path, number, item) for number, item in enumerate(items, 1)]
        if path.suffix.lower() in (".csv", ".xlsx"):
            return read_words(path)
        return read_conll(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None


def read_words(path: Path) -> list[Example]:
    """A table with a token in each row; the number of the sentence may be in its first row only. Raises DataError."""
    table = read_table(path, WORDS)
    sentences: list[tuple[str, list[list[str]]]] = []
    for row in table.rows:
        token, tag, sentence = (table.text(row, role.name) for role in WORDS)
        if not is_tag(tag):
            raise DataError(f"{path} has the tag {tag!r} of {token!r}; tags must be B-X, I-X or O.")
        if not sentences or (sentence and sentence != sentences[-1][0]):
            sentences.append((sentence, []))
        sentences[-1][1].append([token, tag])
    return [make_example(rows, has_words=True, name=name) for name, rows in sentences]


def read_conll(path: Path) -> list[Example]:
    rows: list[list[str]] = []
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), 1):
        fields = line.split("\t") if "\t" in line else line.split()
        is_separator = not line.strip() or fields[0] == DOCUMENT_START
        if is_separator or (len(fields) > 1 and is_tag(fields[-1].strip())):
            rows.append([] if is_separator else [*fields[:-1], fields[-1].strip()])
        elif not line.startswith("#"):  # a comment
            raise DataError(f"{path}, line {number} is {line[:60]!r}; the file must be {DATA_FORMAT}.")
    if is_numbered(rows):
        rows = [row[1:] for row in rows]
    # If no token is longer than one character, the tokens are characters. Otherwise they are words with spaces.
    has_words = any(row and len(row[0]) > 1 for row in rows)
    examples: list[Example] = []
    sentence: list[list[str]] = []
    for number, row in enumerate([*rows, []], 1):
        if row:
            sentence.append([row[0], row[-1]])
        elif sentence:
            examples.append(make_example(sentence, has_words, f"line {number - len(sentence)}"))
            sentence = []
    return examples


def make_example(rows: Sequence[Sequence[str]], has_words: bool, name: str = "") -> Example:
    """Join tokens to a text, and their labels to entities."""
    text, spans = "", []
    previous_type = ""
    for token, label in rows:
        if has_words and text and not (is_cjk(text[-1]) and is_cjk(token[:1])):
            text += " "
        start, entity_type = len(text), label[2:]
        text += token
        if label.startswith(INSIDE_PREFIXES) and previous_type == entity_type:
            spans[-1][1] = len(text)
        elif label != "O":
            spans.append([start, len(text), entity_type])
        previous_type = entity_type
    return Example(text, spans, name)


def is_numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column numbers the tokens of each sentence."""
    number = 0
    for row in rows:
        number = number + 1 if row else 0
        if row and (len(row) < 3 or row[0] != str(number)):
            return False
    return any(rows)


def is_tag(label: str) -> bool:
    return label == "O" or label.startswith((*BEGIN_PREFIXES, *INSIDE_PREFIXES))


def is_cjk(character: str) -> bool:
    """Whether the character belongs to a script that is written without spaces."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef"


def json_example(path: Path, number: int, item: Any) -> Example:
    """An item of a labelling tool. Raises DataError, which numbers it."""
    name = f"item {number}"
    if isinstance(item, list) and len(item) == 2 and isinstance(item[1], dict):  # spaCy's [text, {"entities": […]}]
        item = {"text": item[0], **item[1]}
    if not isinstance(item, dict):
        raise DataError(f"{path}, {name} is not a JSON object; the file must be {DATA_FORMAT}.")
    tags = next((item[field] for field in TAGS if isinstance(item.get(field), list)), None)
    if isinstance(item.get("tokens"), list) and tags and not isinstance(tags[0], dict | list):
        if wrong := [tag for tag in tags if not is_tag(str(tag))]:
            raise DataError(f"{path}, {name} has the tag {wrong[0]!r}; tags must be names, B-X, I-X or O.")
        if len(tags) != len(item["tokens"]):
            raise DataError(f"{path}, {name} has {len(item['tokens'])} tokens and {len(tags)} tags.")
        rows = list(zip(map(str, item["tokens"]), tags, strict=True))
        return make_example(rows, any(len(token) > 1 for token, _ in rows), name)
    text = item.get("text", item.get("data"))
    if not isinstance(text, str):  # Label Studio's data, by a name of the user's own
        text = max((value for value in item.values() if isinstance(value, str)), key=len, default=None)
    spans = next((item[field] for field in SPANS if isinstance(item.get(field), list)), None)
    if spans is None:
        spans = next((value for value in item.values() if are_spans(value)), [])
    if not isinstance(text, str):
        raise DataError(f"{path}, {name} has no `text`; the file must be {DATA_FORMAT}.")
    return Example(text, sorted(trim(text, span_of(path, name, text, span)) for span in spans), name)


def are_spans(value: Any) -> bool:
    """Whether a value is a list of Label Studio's spans, of which JSON-MIN has one by the name of each control."""
    return isinstance(value, list) and any(
        isinstance(span, dict) and {"start", "labels"} <= set(span) for span in value
    )


def span_of(path: Path, name: str, text: str, span: Any) -> Span:
    """A span as [start, end, type]. Raises DataError."""
    if isinstance(span, list | tuple) and len(span) == 3:
        start, end, entity_type = span
    elif isinstance(span, dict):
        start = span.get("start", span.get("start_offset"))
        end = span.get("end", span.get("end_offset"))
        labels = span.get("labels")
        entity_type = labels[0] if labels else span.get("label")
    else:
        start = end = entity_type = None
    if not isinstance(start, int) or not isinstance(end, int) or not entity_type or not 0 <= start < end <= len(text):
        raise DataError(
            f"{path}, {name} has the span {span!r}, which is not within the {len(text)} characters of its text."
        )
    return [start, end, str(entity_type)]


def trim(text: str, span: Span) -> Span:
    """The span without the white space at its ends, which people mark too."""
    start, end, entity_type = span
    while start < end - 1 and text[start].isspace():
        start += 1
    while end > start + 1 and text[end - 1].isspace():
        end -= 1
    return [start, end, entity_type]
