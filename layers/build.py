"""Build a layer: `python build.py core|openvino|vision|audio|video|runtime DESTINATION [x86_64|arm64]`. DESTINATION
becomes /opt on Lambda.

Needs only the standard library, pip and this folder, since SAM copies the folder elsewhere before it builds. The wheels
are for Lambda (CPython 3.13, glibc 2.34) on any machine. Builds are reproducible byte by byte.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = "3.13"
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's architecture name -> the architecture in names of wheels."""
EPOCH = 315_619_200
"""1980-01-02, the first day that a zip can hold in every time zone."""

UNUSED = (
    # A second copy of the library for C programs; the Python module carries its own.
    "onnxruntime/capi/libonnxruntime.so*",
    # OpenVINO: copies under other names, and plugins for other devices than CPUs or for several devices.
    "onnxruntime/capi/libopenvino.so",
    "onnxruntime/capi/libopenvino_onnx_frontend.so",
    "onnxruntime/capi/libtbb.so",
    "onnxruntime/capi/libopenvino*.so.20*",
    "onnxruntime/capi/libopenvino_c.so*",
    "onnxruntime/capi/libopenvino_intel_[gn]pu_plugin.so",
    "onnxruntime/capi/libopenvino_auto_plugin.so",
    "onnxruntime/capi/libopenvino_hetero_plugin.so",
    "onnxruntime/capi/libtbbmalloc.so",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "numpy/f2py",
    "numpy/_core/lib",
    "numpy/_core/_simd*.so",
    "numpy/_core/*_tests*.so",
    "PIL/_avif*.so",
    "PIL/AvifImagePlugin.py",
    "pillow.libs/libavif*",
    "bin",
    # Lists files that were just removed, and differs from machine to machine.
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/INSTALLER",
    "*.dist-info/direct_url.json",
    "**/tests",
    "**/__pycache__",
    *(f"**/*{suffix}" for suffix in (".pyi", ".pxd", ".pyx", ".h", ".a", ".lib", ".c")),
)


def main(layer: str, destination: Path, machine: str) -> None:
    target = destination / "python"
    if layer == "runtime":
        shutil.copytree(HERE / "runtime/python", target, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "runtime/bootstrap-stream", destination)
        if (HERE / "runtime/trust").is_dir():  # public keys, as HEARTH_VERIFY_KEYS=/opt/trust
            shutil.copytree(HERE / "runtime/trust", destination / "trust")
    else:
        install(HERE / "wheels" / layer / "requirements.txt", target, machine)
        remove_unused(target)
    compile_bytecode(target)
    for path in [destination, *destination.rglob("*")]:
        is_executable = path.is_dir() or ".so" in path.suffixes or path.name.startswith("bootstrap")
        path.chmod(0o755 if is_executable else 0o644)
        os.utime(path, (EPOCH, EPOCH))


def install(requirements: Path, target: Path, machine: str) -> None:
    """Install the locked wheels; pip refuses wheels whose hash differs."""
    names = [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in range(34, 16, -1))]
    platforms = [argument for name in names for argument in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *platforms]
    command += ["--implementation", "cp", "--python-version", PYTHON, "--only-binary", ":all:", "--no-deps"]
    # `pip install` checks Requires-Python against its own interpreter, despite --python-version.
    command += [
        "--ignore-requires-python",
        "--require-hashes",
        "--no-compile",
        "--target",
        str(target),
        "-r",
        str(requirements),
    ]
    subprocess.run(command, check=True)


def remove_unused(target: Path) -> None:
    for pattern in UNUSED:
        for path in sorted(target.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def compile_bytecode(target: Path) -> None:
    """Compile bytecode that Python uses without checks: /opt is read-only on Lambda, so Python cannot cache it
    there."""
    python = find_python()
    if python is None:
        print(f"warning: no python{PYTHON} found, so this layer has no .pyc and starts slower: pyenv install {PYTHON}")
        return
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Tracebacks show the paths on Lambda.
    command += ["-s", str(target), "-p", "/opt/python", str(target)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})


def find_python() -> str | None:
    """Find an interpreter of Lambda's Python version, which bytecode must match."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    pyenv = sorted(versions.glob(f"{PYTHON}.*/bin/python{PYTHON}"), reverse=True)
    check = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{PYTHON}')"
    for candidate in [sys.executable, shutil.which(f"python{PYTHON}"), *map(str, pyenv)]:
        # pyenv's shim exists for versions that are installed but not selected, and then fails.
        if candidate and subprocess.run([candidate, "-c", check], capture_output=True).returncode == 0:
            return candidate
    return None


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], *([name] for name in MACHINES)):
        sys.exit("usage: python build.py core|openvino|vision|audio|video|runtime DESTINATION [x86_64|arm64]")
    main(sys.argv[1], Path(sys.argv[2]).resolve(), MACHINES[(sys.argv[3:] or ["x86_64"])[0]])
