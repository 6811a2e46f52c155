"""The load gate: loads an artifact and replays its golden inputs in a separate process with limits.

`hearth publish` runs `python -m hearth_build.release.load_gate FOLDER`. It publishes no artifact that crashes, hangs,
needs too much memory, gives other outputs than when it was built, or reads files outside the artifact.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import string
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest, HearthError
from hearth.models.manifest import File, Manifest, parse
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.onnx_export.operator_domains import custom_domains, submessages

SECONDS = 300
"""Limit of CPU time; the limit of elapsed time is twice as long."""
BASE_BYTES = 4 * 1024**3
"""Address space for Python, ONNX Runtime and the media decoders, in addition to that of the artifact."""
SIZE_FACTOR = 6
"""Address space for the artifact, as a multiple of its files' size: mapped files, prepacked weights and activations."""
MAX_FILE_BYTES = 1024 * 1024
"""Largest file that the process may write. Libraries write small ones to find a folder for temporary files."""
EXIT_REFUSED, EXIT_MISSING_MODULE = 3, 4
"""Exit statuses for an invalid artifact, and for a machine without the export extra."""
REPETITIONS = 1000
"""Length of the texts on which a tokenizer is tried."""
MAX_TOKENS_PER_CHARACTER = 24
"""A ligature can stand for 18 characters, and a character can have 4 bytes."""
PASSED_VARIABLES = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
"""Environment variables that the process gets. It gets no credentials."""


def admit(folder: Path, manifest: Manifest, *, seconds: float = SECONDS) -> None:
    """Raises BadRequest if the artifact does not load or does not reproduce its golden outputs within the limits.

    Raises ModuleNotFoundError if this machine lacks a package that the task's evaluation needs.
    """
    limit = BASE_BYTES + SIZE_FACTOR * manifest.size
    command = [
        sys.executable,
        "-m",
        "hearth_build.release.load_gate",
        str(folder.absolute()),
        str(limit),
        str(int(seconds)),
    ]
    environment = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    name = f"{manifest.model}@{manifest.version}"
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=2 * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise BadRequest(f"{name} did not process its golden inputs within {2 * seconds:g} s") from None
    if child.returncode == EXIT_REFUSED:
        raise BadRequest(f"{name} is refused: {stdout.strip().splitlines()[-1]}")
    if child.returncode == EXIT_MISSING_MODULE:
        raise ModuleNotFoundError(name=stdout.strip().splitlines()[-1])
    if child.returncode == -signal.SIGXCPU:
        raise BadRequest(f"{name} needs more than {seconds:g} s of CPU time for its golden inputs")
    if child.returncode < 0:
        raise BadRequest(f"{name} crashes its process ({signal.Signals(-child.returncode).name})")
    if child.returncode:
        last_line = (stderr.strip().splitlines() or [""])[-1]
        raise BadRequest(f"{name} cannot be loaded and run within {limit >> 20} MB: {last_line[:200]}")


def main(folder: Path, memory: int, seconds: int) -> None:
    """Set the limits and run the check in this process. Prints the reason of a refusal."""
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
    ):
        resource.setrlimit(limit, (value, value))
    # At the soft limit the kernel sends SIGXCPU, which names the reason. At the hard limit it sends SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        replay_golden(folder)
    except HearthError as error:
        print(error.message.replace("\n", " "), flush=True)
        os._exit(EXIT_REFUSED)
    except ModuleNotFoundError as error:
        print(error.name, flush=True)
        os._exit(EXIT_MISSING_MODULE)


def replay_golden(folder: Path) -> None:
    """Load the artifact and compare its outputs for the golden inputs with those recorded when it was built.

    Raises BadRequest, IntegrityError, and any error of ONNX Runtime.
    """
    from hearth.models.model import Model
    from hearth.tasks.golden import decode_input
    from hearth_build.pipeline.evaluation import evaluation_of

    manifest = parse((folder / "manifest.json").read_bytes())
    if not (folder / "golden.json").exists():
        raise BadRequest("golden.json is missing: without recorded outputs, the artifact cannot be checked")
    for graph in manifest.graphs.values():
        check_graph(folder / graph.path, manifest.files)
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    evaluation = evaluation_of(manifest.task)
    model = Model(manifest, folder, threads=1)
    if isinstance(manifest.preprocessing, TextPreprocessing):
        check_tokenizer(model.tokenizer)
    for number, case in enumerate(golden["cases"]):
        answer = evaluation.predict(model, decode_input(case["inputs"]))
        difference = evaluation.difference(case["answer"], answer)
        if not difference <= golden["tolerance"]:
            raise BadRequest(
                f"the output for golden input {number} differs by {difference:.3g}; at most {golden['tolerance']} is "
                "allowed"
            )


def check_tokenizer(tokenizer: Any) -> None:
    """Tokenize texts for which a rule that multiplies them, or a pattern that backtracks, would need more memory or
    time than this process has. Raises BadRequest if a text becomes much longer."""
    from hearth.ops.text.windows import tokenize_whole

    characters = string.printable + "àß你好\u0301\u3000ﷺ🙂"
    for character in characters:
        for text in (character * REPETITIONS, character * REPETITIONS + "!", f"{character} " * REPETITIONS):
            tokens = len(tokenize_whole(tokenizer, text).ids)
            if tokens > MAX_TOKENS_PER_CHARACTER * len(text):
                raise BadRequest(f"tokenizer.json makes {tokens} tokens of {len(text)} characters")


def check_graph(path: Path, files: Sequence[File]) -> None:
    """Raises BadRequest for a graph that reads files outside the artifact, or has custom operators."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except DecodeError:
        raise BadRequest(f"{path.name} is not an ONNX graph") from None
    sizes = {file.path: file.size for file in files}
    for message in submessages(model):
        if isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
            _check_external_data(path.name, message, sizes)
    if custom := custom_domains(model):
        raise BadRequest(f"{path.name} has operators of {', '.join(sorted(custom))}, which ONNX Runtime does not have")


def _check_external_data(graph: str, tensor: Any, sizes: dict[str, int]) -> None:
    reference = {entry.key: entry.value for entry in tensor.external_data}
    location = reference.get("location", "")
    if location not in sizes:
        raise BadRequest(f"{graph} reads {location[:100]!r}, which is not a file of the manifest")
    offset, length = reference.get("offset", "0"), reference.get("length", "0")
    are_numbers = offset.isdecimal() and length.isdecimal()
    unknown_keys = set(reference) - {"location", "offset", "length"}
    if not are_numbers or int(offset) + int(length) > sizes[location] or unknown_keys:
        raise BadRequest(f"{graph} reads outside {location}: {str(reference)[:200]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
