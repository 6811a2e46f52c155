"""Whether a model fits the function that will serve it: said when it is published, not by the first request.

Measured with the decoders of docs/large-models.md: ONNX Runtime repacks weights while it loads them, so that a graph of
754 MB takes 1,276 MB with one thread. Of weights below 256 MiB it takes up to twice their size with several.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hearth.models.heads import Decoder
from hearth.models.manifest import Manifest
from hearth_build.cloud.dedicated import FILE, Configuration
from hearth_build.cloud.parameters import MEGABYTES_FOR_INPUTS

DEFAULTS = {"Memory": 1769, "CacheMegabytes": 448, "ScratchMegabytes": 512}
"""Of the template's parameters, for a folder without the template."""
MOST_MEGABYTES = 10_240
"""Memory and ephemeral storage that Lambda gives a function at most."""
RUNTIME_MEGABYTES = 250
"""Python, ONNX Runtime and the function's code."""
LOAD_FACTOR = 2
KEY_VALUE_BYTES = 4


@dataclass(frozen=True)
class Needs:
    """Megabytes."""

    memory: int
    disk: int


def needs_of(manifest: Manifest) -> Needs:
    """Estimate the needs of one loaded model and one request."""
    cache = 0
    if isinstance(manifest.head, Decoder):
        head = manifest.head
        cache = 2 * head.layers * head.kv_heads * head.head_size * head.context * KEY_VALUE_BYTES
    memory = RUNTIME_MEGABYTES + (LOAD_FACTOR * manifest.size + cache) / 1e6
    return Needs(math.ceil(memory), math.ceil(manifest.size / 1e6))


def advice(manifest: Manifest, configuration: Configuration) -> str:
    """What to change in hearth.toml so that the model fits its function on AWS; empty if it fits."""
    needs = needs_of(manifest)
    parameters = {name: int(configuration.parameters.get(name, value)) for name, value in DEFAULTS.items()}
    row = next((row for row in configuration.dedicated if row.model == manifest.model), None)
    memory = row.memory if row else parameters["Memory"]
    scratch = parameters["ScratchMegabytes"] - MEGABYTES_FOR_INPUTS
    disk = min(parameters["CacheMegabytes"], scratch)
    if needs.memory <= memory and needs.disk <= disk:
        return ""
    what = "its function" if row else "the shared function"
    lines = [
        f"On AWS this model needs about {needs.memory:,} MB of memory and {needs.disk:,} MB of disk; {what} of "
        f"{FILE} has {memory:,} MB and {disk:,} MB."
    ]
    scratch = needs.disk + needs.disk // 5 + MEGABYTES_FOR_INPUTS
    if max(needs.memory, scratch) > MOST_MEGABYTES:
        lines.append(
            f"Lambda gives a function {MOST_MEGABYTES:,} MB of each at most: serve it with the container image."
        )
        return "\n".join(lines)
    lines.append(f"Write into {FILE} and run `hearth deploy`:")
    if needs.disk > disk:
        lines += ["[parameters]", f"ScratchMegabytes = {scratch}", f"CacheMegabytes = {scratch - MEGABYTES_FOR_INPUTS}"]
    if needs.memory > memory:
        lines += ["[[dedicated]]", f'model = "{manifest.model}"', f'task = "{manifest.task}"']
        lines.append(f"memory = {needs.memory}")
    return "\n".join(lines)
