"""Joins the page's modules into one file: a request each would be an invocation each, and a round trip an import."""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{ (.*) \} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import [{*\"]|export\b).*", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One module that does what `entry` does, from the texts of modules by their names.

    Each becomes a function that returns its exports, after those that it imports. Modules import names from their own
    folder, and export declarations; raises ValueError for other forms, and for modules that import each other.
    """
    written: dict[str, str] = {}
    pending: list[str] = []

    def write(name: str) -> None:
        if name in pending:
            raise ValueError(f"{' imports '.join([*pending[pending.index(name) :], name])}")
        if name in written:
            return
        pending.append(name)
        for _, imported in _IMPORT.findall(modules[name]):
            write(imported)
        pending.pop()
        text = _IMPORT.sub(_taken, modules[name])
        exports = ", ".join(_EXPORT.findall(text))
        text = _EXPORT.sub("", text)
        if other := _OTHER.search(text):
            raise ValueError(f"{name} has {other[0]!r}; import {{ names }} or export a declaration")
        written[name] = f"// {name}\nconst {_variable(name)} = (() => {{\n{text}return {{ {exports} }};\n}})();\n"

    write(entry)
    return "".join(written.values())


def _taken(imported: re.Match[str]) -> str:
    return f"const {{ {imported[1].replace(' as ', ': ')} }} = {_variable(imported[2])};\n"


def _variable(name: str) -> str:
    """The name of a module's exports; no module declares such a one."""
    return f"module_{name.removesuffix('.js')}"
