"""Check whether a machine can serve models and deploy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hearth_build.cloud.finding import Finding, note, ok, problem
from hearth_build.cloud.sam_deploy import can_run
from hearth_build.installation import install_command

MIN_DISK_BYTES = 1024**3
"""Free disk space for cached artifacts."""
MIN_MEMORY_BYTES = 1024**3
SIMD_FLAGS = {"x86_64": "avx2", "aarch64": "asimd"}
"""The flag in /proc/cpuinfo that ONNX Runtime's fast kernels need, by architecture."""
# Importing is the check: a build for another processor fails there, whatever the graph.
PROBE = "import onnxruntime as o; print(o.__version__, ','.join(o.get_available_providers()))"


def check_machine(region: str = "") -> Iterator[Finding]:
    """With a `region`, what `hearth deploy` needs there must be there."""
    yield ok(f"Python is {platform.python_version()}.")
    yield from _check_disk()
    yield _check_memory()
    yield _check_onnxruntime()
    yield check_processor()
    missing = problem if region else note
    yield from _check_tools(missing)
    yield from _check_credentials(region, missing)


def _check_disk() -> Iterator[Finding]:
    from hearth import settings
    from hearth.errors import SettingsError

    try:
        folder = settings.read(os.environ).cache_dir
    except SettingsError as error:
        yield problem(f"A setting is invalid: {error}.")
        return
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        yield problem(f"{existing} is not writable. Set HEARTH_CACHE_DIR to a folder that is.")
    elif free < MIN_DISK_BYTES:
        yield problem(
            f"{existing} has {free / 1e6:.0f} MB free; models need 1000. Set HEARTH_CACHE_DIR to another folder."
        )
    else:
        yield ok(f"{existing} has {free / 1e9:.0f} GB free for models.")


def _check_memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < MIN_MEMORY_BYTES:
        return problem(f"The machine has {total / 1e6:.0f} MB of memory; a model needs up to 1000.")
    return ok(f"The machine has {total / 1e9:.0f} GB of memory.")


def _check_onnxruntime() -> Finding:
    """Import ONNX Runtime in a separate process: on a processor it was not built for, the process crashes."""
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if probe.returncode:
        reason = probe.stderr.strip().rpartition("\n")[2] or f"the process ended with {probe.returncode}"
        return problem(f"ONNX Runtime cannot be imported: {reason}. Try: pip install --force-reinstall onnxruntime.")
    version, _, providers = probe.stdout.strip().partition(" ")
    if "CPUExecutionProvider" not in providers:
        return problem(f"ONNX Runtime {version} has no CPU provider, only {providers}. Install plain onnxruntime.")
    return ok(f"ONNX Runtime is {version}.")


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    required = SIMD_FLAGS.get(platform.machine())
    if required is None or not cpuinfo.exists():
        return note(f"The features of this processor ({platform.machine()}) cannot be determined.")
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    if required not in flags.split():
        return problem(f"The processor has no {required.upper()}: int8 models run several times slower than measured.")
    return ok(f"The processor has {required.upper()}.")


def _check_tools(missing: Callable[[str], Finding]) -> Iterator[Finding]:
    for name, purpose in {
        "sam": "`hearth deploy` needs it: pip install aws-sam-cli, in a separate environment",
        "python3.13": "`sam build` builds the layers with it",
        "docker": "only `sam local` needs it",
    }.items():
        path = shutil.which(name)
        report = note if name == "docker" else missing
        if path is None:
            yield report(f"{name} is not on PATH; {purpose}.")
        elif name.startswith("python") and not can_run(name):
            yield report(f"{path} does not run; {purpose}.")
        else:
            yield ok(f"{name} is {path}.")


def _check_credentials(region: str, missing: Callable[[str], Finding]) -> Iterator[Finding]:
    try:
        import boto3
    except ModuleNotFoundError:
        yield missing(f"boto3 is not installed; commands that call AWS need it: {install_command('export')}")
        return
    session = boto3.Session(region_name=region or None)
    credentials = session.get_credentials()
    if credentials is None:
        yield missing("There are no AWS credentials; commands that call AWS need them: aws configure.")
        return
    yield ok(f"AWS credentials come from {credentials.method}.")
    if region:
        yield _check_account(session, region)


def _check_account(session: Any, region: str) -> Finding:
    from botocore.exceptions import BotoCoreError, ClientError

    from hearth_build.cloud.account import UNRESERVED, read_account

    try:
        account = read_account(session, "")
    except (BotoCoreError, ClientError) as error:
        return problem(f"The account cannot be read in {region}: {error}.")
    available = max(0, account.unreserved - UNRESERVED)
    return ok(f"{region} allows {account.concurrency} execution environments, {available} of which can be reserved.")
