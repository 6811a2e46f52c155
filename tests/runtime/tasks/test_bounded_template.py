"""Templates that would take a process's memory or time are stopped, and those of real models render."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from hearth.errors import BadRequest
from hearth.tasks.chat_template import render

MESSAGES = [{"role": "user", "content": "hello " * 100}, {"role": "assistant", "content": "x\ny"}]
LOOP = "{% for i in range(90000) %}"
BOMBS = {
    "product": "{{ 'x' * 1000000000 }}",
    "product of a list": "{{ ([0] * 1000000000) | length }}",
    "product by a message": "{{ messages[0].content * 10000000 }}",
    "power": "{{ 9 ** 999999999 }}",
    "long number": "{% set ns = namespace(n=9) %}" + LOOP + "{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "formatting": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '{:>1000000000}'.format(1) }}",
    "ljust": "{{ 'x'.ljust(1000000000) }}",
    "zfill": "{{ 'x'.zfill(1000000000) }}",
    "expandtabs": "{{ '\\t'.expandtabs(1000000000) }}",
    "center": "{{ 'x' | center(1000000000) }}",
    "indent": "{{ 'x\\ny' | indent(1000000000) }}",
    "indented json": "{{ messages | tojson(indent=1000000000) }}",
    "lipsum": "{{ lipsum(n=1000000) }}",
    "doubling with ~": "{% set ns = namespace(s='x') %}" + LOOP + "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling with +": "{% set ns = namespace(s='x') %}" + LOOP + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling a list": "{% set ns = namespace(s=[1]) %}" + LOOP + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "replace": "{% set a = 'x' * 100000 %}{{ a.replace('x', a) }}",
    "replace of nothing": "{% set a = 'x' * 100000 %}{{ a.replace('', a) }}",
    "replace as a filter": "{% set a = 'x' * 100000 %}{{ a | replace('x', a) }}",
    "join": "{% set a = 'x' * 100000 %}{{ a.join(range(90000)) }}",
    "join as a filter": "{% set a = 'x' * 100000 %}{{ range(90000) | join(a) }}",
    "map": "{% set a = 'x' * 100000 %}{{ range(90000) | map('replace', '', a) | list }}",
    "many slices": "{% set a = 'x' * 900000 %}{% set ns = namespace(l=[]) %}"
    + LOOP
    + "{% set ns.l = ns.l + [a[i:]] %}{% endfor %}",
    "many copies": "{% set a = 'xX' * 400000 %}{% set ns = namespace(l=[]) %}"
    + LOOP
    + "{% set ns.l = ns.l + [a.lower()] %}{% endfor %}",
    "nested loops": LOOP * 3 + "{% endfor %}" * 3,
    "loops with a variable": LOOP * 3 + "{{ loop.last }}" + "{% endfor %}" * 3,
    "long searches": "{% set a = 'x' * 900000 + 'y' %}" + LOOP + "{% if 'xy' * 9 in a %}{% endif %}{% endfor %}",
    "calls": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}",
    "endless calls": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "output": LOOP + "xxxxxxxxxxxxxxxxxxxx{% endfor %}",
}


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_template_that_takes_too_much_is_stopped(template: str) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(BadRequest, match="chat template"):
            render(template, MESSAGES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000
    assert time.process_time() - started < 30


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + "
    "'<|im_end|>' ~ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
FEATURES = (
    "{%- set ns = namespace(first=true, text='') -%}"
    "{%- if messages[0]['role'] == 'system' -%}{%- set rest = messages[1:] -%}{%- else -%}"
    "{%- set rest = messages -%}{%- endif -%}"
    "{%- for message in rest[::-1] -%}{%- set ns.text = ns.text ~ message.content.split('l')[0] -%}"
    "{%- if loop.last and not loop.first -%}{{ ns.text | upper | replace('H', 'J') | indent(2) }}{%- endif -%}"
    "{%- endfor -%}|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}|"
    "{{ messages | map(attribute='role') | join(', ') }}|{{ (messages | last)['role'] | tojson }}|{{ 7 % 2 }}|"
    "{{ ', '.join(['a', 'b']) }}|{{ '-' * 3 }}|{{ 'a-b'.replace('-', '+').rstrip('b') }}|{{ 2 ** 3 }}"
)


@pytest.mark.parametrize("template", [CHATML, FEATURES], ids=["chatml", "features"])
def test_real_templates_render_as_in_jinjas_own_sandbox(template: str) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    expected = environment.from_string(template).render(messages=MESSAGES, add_generation_prompt=True)
    assert render(template, MESSAGES) == expected
    assert expected


def test_a_long_conversation_renders() -> None:
    messages = [{"role": "user", "content": "word " * 20}] * 1000
    assert len(render(CHATML, messages)) > 100_000
