"""The load gate: an artifact is loaded, and answers its golden inputs, in a process of its own under limits.

`hearth publish` runs `python -m hearth_build.release.load_gate FOLDER` and lets nothing into a store that crashes, hangs, wants more than
its share of memory, answers otherwise than it did when it was made, or reads files that are not its own.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest, HearthError
from hearth.models.manifest import File, Manifest, parse

SECONDS = 300
"""Of processor and, twice as many, of the clock."""
MEMORY = 4 * 1024**3
"""Bytes of addresses that a process of Python, ONNX Runtime and the decoders may have, beside the artifact's own."""
TIMES = 6
"""As many times its files' size an artifact may take: mapped, prepacked, and what runs on it."""
FILE = 1024 * 1024
"""Bytes of a file that the process writes, as a library may that looks for a place for temporary ones."""
REFUSED, LACKING = 3, 4
"""Exit statuses: of an artifact that is not sound, and of a machine without the export extra."""
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
"""Of the environment: the gate has no credentials."""


def admit(folder: Path, manifest: Manifest, *, seconds: float = SECONDS) -> None:
    """Raises BadRequest where the artifact does not load, or does not answer as it should, within its limits.

    ModuleNotFoundError where this machine lacks what measures such answers.
    """
    limit = MEMORY + TIMES * manifest.size
    command = [
        sys.executable,
        "-m",
        "hearth_build.release.load_gate",
        str(folder.absolute()),
        str(limit),
        str(int(seconds)),
    ]
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    name = f"{manifest.model}@{manifest.version}"
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            said, complaint = child.communicate(timeout=2 * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise BadRequest(f"{name} did not answer its golden inputs within {2 * seconds:g} s") from None
    if child.returncode == REFUSED:
        raise BadRequest(f"{name} is refused: {said.strip().splitlines()[-1]}")
    if child.returncode == LACKING:
        raise ModuleNotFoundError(name=said.strip().splitlines()[-1])
    if child.returncode == -signal.SIGXCPU:
        raise BadRequest(f"{name} wants more than {seconds:g} s of processor for its golden inputs")
    if child.returncode < 0:
        raise BadRequest(f"{name} crashes its process ({signal.Signals(-child.returncode).name})")
    if child.returncode:
        last = (complaint.strip().splitlines() or [""])[-1]
        raise BadRequest(f"{name} cannot be loaded and run within {limit >> 20} MB: {last[:200]}")


def main(folder: Path, memory: int, seconds: int) -> None:
    """What the process does. Prints the reason of a refusal."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE),
    ):
        # At the hard limit of processor time the kernel kills: the soft one, which says why, comes first.
        resource.setrlimit(what, (most, most + (what == resource.RLIMIT_CPU)))
    try:
        try_out(folder)
    except HearthError as error:
        print(error.message.replace("\n", " "), flush=True)
        os._exit(REFUSED)
    except ModuleNotFoundError as error:
        print(error.name, flush=True)
        os._exit(LACKING)


def try_out(folder: Path) -> None:
    """Raises BadRequest, IntegrityError, and whatever a graph makes ONNX Runtime raise."""
    from hearth.models.model import Model
    from hearth_build.pipeline.evaluation import evaluation_of

    manifest = parse((folder / "manifest.json").read_bytes())
    if not (folder / "golden.json").exists():
        raise BadRequest("golden.json is missing: with no answers to compare, nobody can tell whether it works")
    for graph in manifest.graphs.values():
        check_graph(folder / graph.path, manifest.files)
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    evaluation = evaluation_of(manifest.task)
    model = Model(manifest, folder, threads=1)
    for number, case in enumerate(golden["cases"]):
        inputs = case["inputs"]
        if isinstance(inputs, dict) and "base64" in inputs:
            inputs = base64.b64decode(inputs["base64"])
        difference = evaluation.difference(case["answer"], evaluation.answer(model, inputs))
        if not difference <= golden["tolerance"]:
            raise BadRequest(f"golden answer {number} differs by {difference:.3g}, {golden['tolerance']} are allowed")


def check_graph(path: Path, files: Sequence[File]) -> None:
    """Raises BadRequest for a graph that reads what is not of the artifact, or has operators that are not ONNX's."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except DecodeError:
        raise BadRequest(f"{path.name} is no ONNX graph") from None
    sizes = {file.path: file.size for file in files}
    domains = set()  # of what is used: ONNX Runtime declares every domain that it knows
    for part in _parts(model):
        if isinstance(part, onnx.NodeProto | onnx.FunctionProto):
            domains.add(part.domain)
        if isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location):
            _check_external(path.name, part, sizes)
    if foreign := domains - DOMAINS:
        raise BadRequest(f"{path.name} has operators of {', '.join(sorted(foreign))}, which ONNX does not have")


def _check_external(graph: str, tensor: Any, sizes: dict[str, int]) -> None:
    said = {entry.key: entry.value for entry in tensor.external_data}
    where = said.get("location", "")
    if where not in sizes:
        raise BadRequest(f"{graph} reads {where[:100]!r}, which is no file of the manifest")
    offset, length = said.get("offset", "0"), said.get("length", "0")
    numbers = offset.isdecimal() and length.isdecimal()
    if not numbers or int(offset) + int(length) > sizes[where] or set(said) - {"location", "offset", "length"}:
        raise BadRequest(f"{graph} reads {where} where it has nothing: {str(said)[:200]}")


def _parts(message: Any) -> Iterator[Any]:
    """Every message within a message, at any depth."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                yield part
                yield from _parts(part)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
