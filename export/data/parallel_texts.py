"""Texts with what is to be written for them: tables with two columns, and two files with a text a line."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import SUFFIXES, decode_text, read_records
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, table_of
from hearth_build.recipe import Example

DATA_FORMAT = "a CSV, TSV, XLSX, JSON lines or Parquet file with the columns `{0}` and `{1}`, or with two columns"
PARALLEL_FORMAT = "; a TMX file; or the first of two files with a text a line, of which the other one stands beside it"
TRANSLATION = (
    Role("source", ("source", "src", "source_text", "source_sentence", "input", "original")),
    Role("target", ("target", "tgt", "target_text", "target_sentence", "translation", "output", "reference")),
)
SUMMARY = (
    Role("text", ("text", "article", "document", "dialogue", "content", "body", "source", "input")),
    Role("summary", ("summary", "highlights", "abstract", "headline", "title", "target", "output")),
)
OUTPUT = (
    Role("input", ("input", "source", "text", "prompt", "question")),
    Role("output", ("output", "target", "response", "completion", "answer")),
)
LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
"""A language code, such as `en` or `zh-Hans`."""
ISO_639_CODES = (
    "af am ar as az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu ha he hi hr hu hy id ig is "
    "it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my ne nl no ny or pa pl ps pt ro ru "
    "rw sd si sk sl sm sn so sq sr st su sv sw ta te tg th ti tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu"
)
ISO_639 = frozenset(ISO_639_CODES.split())
"""Codes that are the header of a table by themselves, unlike other short words."""
SIDE = re.compile(rf"{LANGUAGE.pattern}|source|target")
"""What distinguishes the names of two files with a text a line."""
CODES = {
    "English": "en", "German": "de", "French": "fr", "Spanish": "es", "Italian": "it", "Portuguese": "pt",
    "Dutch": "nl", "Chinese": "zh", "Japanese": "ja", "Korean": "ko", "Thai": "th", "Greek": "el", "Hebrew": "he",
}  # fmt: skip
"""Codes of the languages that are recognised in texts."""
XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
Roles = tuple[Role, Role]


def data_format(roles: Roles, parallel: bool = False) -> str:
    """The forms that `read` accepts, as a noun phrase."""
    return DATA_FORMAT.format(*(role.name for role in roles)) + (PARALLEL_FORMAT if parallel else "")


def read(path: Path, columns: Columns = NO_COLUMNS, roles: Roles = TRANSLATION) -> list[Example]:
    """Read pairs; `inputs` is the first text, `expected` the second one. Raises DataError.

    A path that is no table is the first of two files with a text a line.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give a table, or the first of two files with a text a line.")
    if is_parallel(path):
        return read_parallel(path, companion(path, columns))
    header, records = read_translations(path)
    if header is None and len(records) > 1 and all(is_language(name) for name in records[0]):
        header, records = [str(name).strip() for name in records[0]], records[1:]
    header, records = flatten(header, records)
    if header is None and max(map(len, records), default=0) < 2:
        raise DataError(
            f"{path} has one column. A table needs {' and '.join(role.name for role in roles)}; of two files with a "
            "text a line give the first one, such as train.en, and put train.de beside it."
        )
    table = table_of(path, header, records, (*roles, GROUP, TIME), columns)
    return [
        Example(
            table.text(row, roles[0].name),
            table.text(row, roles[1].name),
            f"row {number}",
            table.text(row, "group"),
            table.text(row, "time"),
        )
        for number, row in enumerate(table.rows, 1)
    ]


def read_translations(path: Path) -> tuple[list[str] | None, list[list[Any]]]:
    """The header, or None, and the records of a table, or of a TMX file, by language. Raises DataError."""
    if path.suffix.lower() != ".tmx":
        return read_records(path)
    try:
        units = list(ElementTree.fromstring(path.read_bytes()).iter("tu"))  # noqa: S314 -- a user's own file
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    rows = [
        {variant.get(XML_LANGUAGE) or variant.get("lang", ""): segment(variant) for variant in unit.iter("tuv")}
        for unit in units
    ]
    header = list(dict.fromkeys(language for row in rows for language in row))
    return header, [[row.get(language) for language in header] for row in rows]


def segment(variant: ElementTree.Element) -> str:
    """The text of a translation unit in a language, without marks of its form."""
    seg = variant.find("seg")
    return "" if seg is None else "".join(seg.itertext())


def is_code(name: Any) -> bool:
    """Whether a header is a language code, such as `en` or `zh-Hans`."""
    text = str(name).strip()
    return bool(LANGUAGE.fullmatch(text)) and re.split("[-_]", text)[0].lower() in ISO_639


def is_language(name: Any) -> bool:
    """Whether a header is a language: its code, or a name such as `English sentences`."""
    first = next(iter(str(name).split()), "")
    return is_code(name) or first.capitalize() in CODES


def flatten(header: list[str] | None, records: list[list[Any]]) -> tuple[list[str] | None, list[list[Any]]]:
    """Columns with an object in each row become columns by its keys, as in `{"translation": {"en": …, "de": …}}`."""
    if header is None or not any(isinstance(value, dict) for record in records for value in record):
        return header, records
    rows = []
    for record in records:
        row: dict[str, Any] = {}
        for name, value in zip(header, record, strict=False):
            row |= value if isinstance(value, dict) else {name: value}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name) for name in names] for row in rows]


def column_languages(path: Path, columns: Columns = NO_COLUMNS) -> tuple[str, str]:
    """The codes of the two languages, where files or columns are named by them; else empty."""
    if is_parallel(path):
        return language_of(path), language_of(companion(path, columns))
    header, records = read_translations(path)
    header, records = flatten(header, records)
    names = [str(name).strip() for name in (header or (records[0] if records else ()))]
    if all(role.name in columns for role in TRANSLATION):
        names = [columns[role.name] for role in TRANSLATION]
    codes = [name for name in names if is_code(name) and name.lower() not in ("id", "no")]
    return (codes[0], codes[1]) if len(codes) == 2 else ("", "")


def is_parallel(path: Path) -> bool:
    """Whether a file is one of two with a text a line: `train.en`, `train.de.gz`, or `train.en.txt`."""
    if path.suffix.lower() == ".tmx":
        return False
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if not path.is_file() or not suffixes or suffixes[-1] not in SUFFIXES:
        return path.is_file()
    return suffixes[-1] == ".txt" and bool(companions(path))


def name_parts(path: Path) -> tuple[list[str], int]:
    """The parts of a file's name between points, and the number of the one that is a language; -1 without one."""
    parts = path.name.split(".")
    for number in reversed(range(len(parts))):
        if parts[number].lower() not in ("gz", "txt"):
            return parts, number if SIDE.fullmatch(parts[number]) else -1
    return parts, -1


def language_of(path: Path) -> str:
    """The language code in a file's name, such as `de` of `train.de.gz` and of `de.txt`; empty without one."""
    parts, number = name_parts(path)
    return parts[number] if number >= 0 and LANGUAGE.fullmatch(parts[number]) else ""


def companions(path: Path) -> dict[str, Path]:
    """The files beside `path` whose names differ in the language only, by language."""
    parts, number = name_parts(path)
    if number < 0:
        return {}
    others = {}
    for file in sorted(path.parent.iterdir()):
        other, position = name_parts(file)
        same = other[:position] == parts[:number] and other[position + 1 :] == parts[number + 1 :]
        if position == number and same and other[position] != parts[number] and file.is_file():
            others[other[position]] = file
    return others


def companion(path: Path, columns: Columns = NO_COLUMNS) -> Path:
    """The file with the second texts. `--column target=de` chooses one of several. Raises DataError."""
    others = companions(path)
    chosen = columns.get("target", "")
    if chosen in others:
        return others[chosen]
    if chosen or len(others) > 1:
        raise DataError(
            f"Which file beside {path} has the second texts? Choose with --column target=LANGUAGE: "
            f"{', '.join(others) or 'there is none'}."
        )
    if not others:
        raise DataError(
            f"{path} is no table, and no file with the second texts stands beside it. Two files with a text a line are "
            "named alike but for the language, such as train.en and train.de; give the first one."
        )
    return next(iter(others.values()))


def read_parallel(first: Path, second: Path) -> list[Example]:
    """The lines of two files. Raises DataError if they have different numbers of lines."""
    texts, others = read_lines(first), read_lines(second)
    if len(texts) != len(others):
        raise DataError(
            f"{first} has {len(texts):,} lines, but {second} has {len(others):,}. Each line must have its counterpart."
        )
    pairs = zip(texts, others, strict=True)
    return [Example(text.strip(), other.strip(), f"line {number}") for number, (text, other) in enumerate(pairs, 1)]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which may be compressed. Only line feeds end a line. Raises DataError."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    lines = decode_text(path, data).replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def has_han(text: str) -> bool:
    """Whether a text has Chinese characters."""
    return any("\u3400" <= character <= "\u9fff" for character in text)
