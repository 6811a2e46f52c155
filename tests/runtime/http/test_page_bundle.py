"""Modules that are joined do what they did apart."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hearth.http.page_bundle import bundle
from hearth_functions.catalog import app as catalog

MODULES = {
    "main.js": 'import { double, twice as again } from "./numbers.js";\nimport { words } from "./words.js";\n'
    "console.log(double(4), words(), [...again(1)].join());\n",
    "numbers.js": 'import { unit } from "./unit.js";\nexport const double = (value) => 2 * value * unit;\n'
    "export function* twice(value) {\n  yield value;\n  yield value;\n}\nconst hidden = 1;\n",
    "words.js": 'import { unit } from "./unit.js";\nconst hidden = "a text";\n'
    "export function words() {\n  return `${hidden}\nimport requests\n${unit}`;\n}\n",
    "unit.js": "export class Unit {}\nexport const unit = 1;\n",
}


def test_names_of_modules_do_not_meet() -> None:
    joined = bundle(MODULES, "main.js")
    assert [name for name in MODULES if joined.count(f"// {name}\n") == 1] == list(MODULES)
    assert joined.index("// unit.js") < joined.index("// numbers.js") < joined.index("// main.js")
    assert "return { Unit, unit };" in joined
    assert "\nimport requests\n" in joined, "a text is no import"
    node = playwright_node()
    if node is None:
        pytest.skip("playwright, which has a JavaScript engine, is not installed")
    run = subprocess.run([node, "--input-type=module"], input=joined, capture_output=True, text=True, check=True)
    assert run.stdout == "8 a text\nimport requests\n1 1,1\n"


def playwright_node() -> Path | None:
    try:
        import playwright
    except ImportError:
        return None
    return Path(playwright.__file__).parent / "driver/node"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('import * as all from "./unit.js";\n', "main.js has 'import "),
        ('export { unit } from "./unit.js";\n', "main.js has 'export { unit }"),
        ("export default 1;\n", "main.js has 'export default"),
        ('import { a } from "./main.js";\n', "main.js imports main.js"),
        ('import { a } from "./circle.js";\n', "main.js imports circle.js imports main.js"),
    ],
)
def test_other_forms_are_refused(text: str, message: str) -> None:
    modules = {**MODULES, "main.js": text, "circle.js": 'import { b } from "./main.js";\n'}
    with pytest.raises(ValueError, match=message.replace("{", r"\{")):
        bundle(modules, "main.js")


def test_the_page_uses_each_of_its_modules() -> None:
    folder = Path(catalog.__file__).parent / "page"
    modules = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    joined = bundle(modules, "main.js")
    assert {name for name in modules if f"// {name}\n" in joined} == set(modules) - {"theme.js"}
