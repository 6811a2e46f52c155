"""A machine: can it serve, can it deploy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hearth_build.cloud.finding import Finding, fine, note, wrong
from hearth_build.cloud.sam_deploy import runs

LEAST_DISK = 1024**3
"""Bytes for cached artifacts."""
LEAST_MEMORY = 1024**3
VECTORS = {"x86_64": "avx2", "aarch64": "asimd"}
"""What ONNX Runtime's fast kernels want, as /proc/cpuinfo calls it."""
# What an empty graph would not tell: the library loads, and computes.
PROBE = "import onnxruntime as o; print(o.__version__, ','.join(o.get_available_providers()))"


def machine() -> Iterator[Finding]:
    yield fine(f"Python is {platform.python_version()}.")
    yield from _disk()
    yield _memory()
    yield _runtime()
    yield _processor()
    yield from _tools()
    yield _credentials()


def _disk() -> Iterator[Finding]:
    from hearth import settings
    from hearth.errors import SettingsError

    try:
        folder = settings.read(os.environ).cache_dir
    except SettingsError as error:
        yield wrong(f"A setting makes no sense: {error}.")
        return
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        yield wrong(f"{place} cannot be written: HEARTH_CACHE_DIR must name a folder that can.")
    elif free < LEAST_DISK:
        yield wrong(f"{place} has {free / 1e6:.0f} MB free; models want 1000. HEARTH_CACHE_DIR names another folder.")
    else:
        yield fine(f"{place} has {free / 1e9:.0f} GB free for models.")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < LEAST_MEMORY:
        return wrong(f"The machine has {total / 1e6:.0f} MB of memory; a model wants 1000 to be safe.")
    return fine(f"The machine has {total / 1e9:.0f} GB of memory.")


def _runtime() -> Finding:
    """In a process of its own: on a processor that it was not built for it dies."""
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if probe.returncode:
        reason = probe.stderr.strip().rpartition("\n")[2] or f"the process ended with {probe.returncode}"
        return wrong(f"ONNX Runtime cannot be imported: {reason}. Try: pip install --force-reinstall onnxruntime.")
    version, _, providers = probe.stdout.strip().partition(" ")
    if "CPUExecutionProvider" not in providers:
        return wrong(f"ONNX Runtime {version} has no CPU provider, only {providers}: install plain onnxruntime.")
    return fine(f"ONNX Runtime is {version}.")


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    wanted = VECTORS.get(platform.machine())
    if wanted is None or not cpuinfo.exists():
        return note(f"What this processor ({platform.machine()}) can do is not known here.")
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    if wanted not in flags.split():
        return wrong(f"The processor has no {wanted.upper()}: int8 models will be several times slower than measured.")
    return fine(f"The processor has {wanted.upper()}.")


def _tools() -> Iterator[Finding]:
    for name, use in {
        "sam": "`hearth deploy` wants it: pip install aws-sam-cli, in an environment of its own",
        "python3.13": "`sam build` makes the layers with it",
        "docker": "only `sam local` wants it",
    }.items():
        found = shutil.which(name)
        if found is None:
            yield note(f"{name} is not on PATH; {use}.")
        elif name.startswith("python") and not runs(name):
            yield note(f"{found} does not run; {use}.")
        else:
            yield fine(f"{name} is {found}.")


def _credentials() -> Finding:
    try:
        import boto3
    except ModuleNotFoundError:
        return note("boto3 is not installed; what talks to AWS wants it: pip install boto3.")
    found = boto3.Session().get_credentials()
    if found is None:
        return note("There are no AWS credentials; what talks to AWS wants them: aws configure.")
    return fine(f"AWS credentials come from {found.method}.")
