"""Milliseconds and memory of each further token of an answer: `python -m tests.benchmarks.generation`, about a minute.

A decoder of GPT-2's shape with random weights, so its speed and size are real and its answers are not. Prints a table
and saves it as `results/generation.md` beside this file. Milliseconds are processor time of one thread, which other
work on the machine hardly changes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models

from export import decoder_graph
from export.gpt import Decoder, Shape
from export.graph import describe, optimise
from export.quantize import quantize
from export.recipe import Block4, DynamicInt8, NoQuantization, Quantizer
from hearth.generation import Cache
from hearth.manifest import TextPreprocessing, parse
from hearth.model import Model
from tests.artifacts import describe_artifact, publish

HERE = Path(__file__).parent
SHAPE = Shape(
    vocabulary=8192,
    width=512,
    layers=4,
    heads=8,
    kv_heads=8,
    head_size=64,
    inner=2048,
    context=1024,
    positions="learned",
    norm="layer",
    activation="gelu-tanh",
    bias=True,
)
WAYS: dict[str, Quantizer] = {"fp32": NoQuantization(), "int8": DynamicInt8(), "4-bit blocks": Block4()}
BLOCKS = (128, 256, 512, 960)
"""Tokens of the answer after which is measured."""
PROMPT = 64


def make(folder: Path) -> None:
    """An artifact a way."""
    torch.manual_seed(0)
    raw = folder / "raw.onnx"
    decoder_graph.write(Decoder(SHAPE).eval(), raw)
    for name, how in WAYS.items():
        artifact = folder / name / "1"
        small = folder / "small.onnx"
        quantize(how, folder, raw, small)
        optimise(small, artifact)
        Tokenizer(models.BPE({"a": 0}, [])).save(str(artifact / "tokenizer.json"))
        manifest = describe_artifact(
            artifact,
            model=f"random-{name.split()[0]}",
            version="1",
            task="text-generation",
            graph=describe(artifact),
            head=decoder_graph.head(SHAPE),
            preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=SHAPE.context),
        )
        publish(artifact, manifest)


def measure(folder: Path) -> None:
    """One way, in a process of its own: prints milliseconds and megabytes a block."""
    model = Model(parse((folder / "manifest.json").read_bytes()), folder, threads=1)
    prompt = np.random.default_rng(0).integers(0, SHAPE.vocabulary, PROMPT).tolist()
    Cache(model, PROMPT).read_prompt(prompt)
    started, before = time.process_time(), anonymous()
    cache = Cache(model, PROMPT + BLOCKS[-1])
    token = int(cache.read_prompt(prompt).argmax())
    print(f"{(time.process_time() - started) * 1000:.3f} {anonymous() - before:.3f}")
    done = 0
    for block in BLOCKS:
        started = time.process_time()
        for _ in range(block - done):
            token = int(cache.read([token])[0].argmax())
        print(f"{(time.process_time() - started) * 1000 / (block - done):.3f} {anonymous() - before:.3f}")
        done = block


def anonymous() -> float:
    """Megabytes of this process that are of no file."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def report(folder: Path) -> str:
    rows, sizes = {}, {}
    for name in WAYS:
        place = folder / name / "1"
        command = [sys.executable, "-m", "tests.benchmarks.generation", str(place)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[name] = [tuple(map(float, line.split())) for line in run.stdout.splitlines()]
        sizes[name] = sum((place / file).stat().st_size for file in ("model.onnx", "model.bin")) / 1e6
    keys = 2 * SHAPE.layers * SHAPE.kv_heads * SHAPE.head_size * 4 / 1e6
    first = "| | " + " | ".join(f"{name}, {sizes[name]:.0f} MB" for name in WAYS) + " |"
    lines = [
        f"{SHAPE.layers} layers of {SHAPE.width}, {SHAPE.vocabulary:,} tokens, random weights; one thread. In each",
        "cell: milliseconds of processor time a token; megabytes of memory since the request began. Keys and values of",
        f"a token are {keys:.3f} MB, so the whole answer's are {keys * (PROMPT + BLOCKS[-1]):.0f} MB.",
        "",
        first,
        "|---" * (len(WAYS) + 1) + "|",
        f"| prompt of {PROMPT}, a token | "
        + " | ".join(f"{rows[name][0][0] / PROMPT:.2f}; {rows[name][0][1]:.0f}" for name in WAYS)
        + " |",
    ]
    for number, (start, end) in enumerate(zip((0, *BLOCKS), BLOCKS, strict=False), 1):
        cells = [f"{rows[name][number][0]:.2f}; {rows[name][number][1]:.0f}" for name in WAYS]
        lines.append(f"| tokens {start + 1} to {end} | {' | '.join(cells)} |")
    speeds = []
    for name in WAYS:
        spent = sum(
            row[0] * (end - start) for row, start, end in zip(rows[name][1:], (0, *BLOCKS), BLOCKS, strict=False)
        )
        speeds.append(f"{1000 * BLOCKS[-1] / spent:.0f}")
    return "\n".join([*lines, f"| tokens a second over all | {' | '.join(speeds)} |"]) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        found = report(Path(folder))
    print(found)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results/generation.md").write_text("# Text generation, token by token\n\n" + found)


if __name__ == "__main__":
    measure(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
