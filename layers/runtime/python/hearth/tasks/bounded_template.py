"""Jinja templates whose work is bounded: a template that came with a model must not take a process's memory or time.

Jinja's own sandbox bounds `range` alone. Here the length of every text and list that a template makes is charged to a
budget, before it is made if it can be longer than what it is made of; iterations and calls are counted, and there is a
time limit. Methods and filters that could make a long text in another way do not exist.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_LENGTH = 1_000_000
"""Largest length of a text or a list."""
MAX_TOTAL = 32_000_000
"""Largest length of all texts and lists of one rendering together."""
MAX_STEPS = 1_000_000
"""Largest number of iterations and calls of one rendering."""
MAX_SECONDS = 5.0
MAX_INDENT = 16
MAX_BITS = 1024
"""Largest size of a number."""

FILTERS = frozenset(
    "abs attr capitalize count d default dictsort e escape first float forceescape groupby indent int items join last "  # noqa: SIM905
    "length list lower map max min reject rejectattr replace reverse round safe select selectattr sort string sum "
    "title tojson trim unique upper wordcount".split()
)
METHODS = frozenset(
    "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace "  # noqa: SIM905
    "istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit "
    "rstrip split splitlines startswith strip swapcase title upper".split()
)
"""Methods of texts."""


class TemplateTooExpensiveError(TemplateError):
    """The template does more work than it may."""


def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Jinja's filter as transformers has it: without sorted keys and without escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment for one rendering."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._steps = self._total = 0
        self._end = time.monotonic() + MAX_SECONDS
        del self.globals["lipsum"]
        self.filters["tojson"] = to_json
        self.globals |= {"_counted": self._counted, "_concatenated": self._concatenated, "_made": self._made}
        self.filters = {name: self._bounded(name, self.filters[name]) for name in FILTERS & self.filters.keys()}

    def render_bounded(self, source: str, variables: dict[str, Any]) -> str:
        """Render a template. Raises TemplateError."""
        pieces, length = [], 0
        for piece in self.from_string(source).generate(variables):
            length += len(piece)
            _check(length, MAX_LENGTH)
            pieces.append(piece)
        return "".join(pieces)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Bounding().visit(super()._parse(source, name, filename))
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and _has_length(left) and _has_length(right):
            self._charge(len(left) + len(right))
        elif operator == "*" and (_has_length(left) or _has_length(right)):
            sequence, count = (left, right) if _has_length(left) else (right, left)
            self._charge(len(sequence) * count if isinstance(count, int) else 0)
        elif operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):  # numbers can be long, too
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            _check(bits, MAX_BITS)
        elif operator == "%" and isinstance(left, str):
            raise TemplateTooExpensiveError("formatting with % is not available")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is not None:
            raise TemplateTooExpensiveError("the method format is not available")
        return None

    def call(self, context: Context, function: Any, *args: Any, **kwargs: Any) -> Any:
        self._step()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            name = function.__name__
            if name not in METHODS:
                raise TemplateTooExpensiveError(f"the method {name} is not available")
            args = tuple(map(self._listed, args))
            self._charge_growth(name, owner, *args, *kwargs.values())
        return self._made(super().call(context, function, *args, **kwargs))

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self._step()
            args = tuple(map(self._listed, args))
            values = args[1:] if hasattr(function, "jinja_pass_arg") else args
            self._charge_growth(name, *values, *kwargs.values())
            return self._made(function(*args, **kwargs))

        return bounded

    def _charge_growth(self, name: str, owner: Any, *args: Any) -> None:
        """Charge the length of what a method or a filter of this name makes, if it can be long."""
        if name == "replace":
            text, old, new = str(owner), str(args[0]), str(args[1])
            self._charge(len(text) + text.count(old) * len(new))
        elif name == "join":
            separator, items = (owner, args[0]) if isinstance(owner, str) else ("".join(map(str, args[:1])), owner)
            self._charge(sum(len(separator) + len(str(item)) for item in items))
        elif name in ("indent", "tojson"):
            width = args[0] if args else 0
            _check(width if isinstance(width, int) else len(str(width)), MAX_INDENT)
            self._charge(len(str(owner)) * (1 + MAX_INDENT) if args else 0)

    def _listed(self, value: Any) -> Any:
        """`value`, or the list of what it generates."""
        return list(self._steps_of(value)) if isinstance(value, GeneratorType) else value

    def _made(self, value: Any) -> Any:
        """`value`, whose length is charged."""
        if isinstance(value, (str, list, tuple)):
            self._charge(len(value))
        return value

    def _concatenated(self, *values: Any) -> str:
        """The operator `~`."""
        texts = [str(value) for value in values]
        self._charge(sum(map(len, texts)))
        return "".join(texts)

    def _counted(self, items: Iterable[Any]) -> Iterable[Any]:
        """`items`, each of which is a step. What has a length keeps it for `loop.last`."""
        steps = self._steps_of(items)
        return _Sized(steps, len(items)) if _has_length(items) else steps  # type: ignore[arg-type]

    def _steps_of(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item

    def _step(self, count: int = 1) -> None:
        self._steps += count
        _check(self._steps, MAX_STEPS)
        if time.monotonic() > self._end:
            raise TemplateTooExpensiveError("the template takes too long")

    def _charge(self, length: int) -> None:
        _check(length, MAX_LENGTH)
        self._total += max(length, 0)
        _check(self._total, MAX_TOTAL)


class _Sized:
    """An iterator of known length."""

    def __init__(self, items: Iterator[Any], length: int) -> None:
        self._items, self._length = items, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return self._items


class _Bounding(NodeTransformer):
    """Lets loops count their iterations, and charges for `~` and slices."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 -- as the visitor calls it
        self.generic_visit(node)
        if not node.recursive:
            node.iter = _call("_counted", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Call:  # noqa: N802 -- as the visitor calls it
        self.generic_visit(node)
        return _call("_concatenated", *node.nodes)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 -- as the visitor calls it
        self.generic_visit(node)
        return _call("_made", node) if isinstance(node.arg, nodes.Slice) else node


def _call(name: str, *arguments: Any) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), list(arguments), [], None, None, lineno=arguments[0].lineno)


def _has_length(value: Any) -> bool:
    return isinstance(value, (str, list, tuple, dict, range))


def _check(size: int, maximum: int) -> None:
    if size > maximum:
        raise TemplateTooExpensiveError("the template makes too much of these messages")
