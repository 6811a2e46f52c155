"""Size, dependencies and content of the layers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.layers import FUNCTIONS, ROOT, layer, python313

pytestmark = pytest.mark.usefixtures("python_of_lambda")
BUDGET = 180 * 10**6
"""Maximum bytes of a function with its layers; Lambda accepts 262,144,000."""
VIDEO_BUDGET = 253 * 10**6
"""Maximum with video: PyAV's FFmpeg includes all codecs, 100 MB; llguidance for constrained text has 8 MB."""
NEWEST_GLIBC = (2, 34)
"""Version of Amazon Linux 2023."""
X86_64, AARCH64 = 62, 183
WHEELS = ("core", "vision", "audio", "video")

USE_ALL_PACKAGES = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.path[:0] = sys.argv[1:]
import fastapi, mangum, msgspec, numpy, onnxruntime, tokenizers
import PIL.Image
assert numpy.ones((2, 2)).sum() == 4 and "CPUExecutionProvider" in onnxruntime.get_available_providers()
for format in ("JPEG", "PNG", "WEBP"):
    import io
    PIL.Image.new("RGB", (8, 8)).save(picture := io.BytesIO(), format)
    PIL.Image.open(picture).load()
import av, soundfile
from hearth.tasks.audio_file import read_audio
for format in ("WAV", "FLAC", "OGG", "MP3"):
    soundfile.write(sound := io.BytesIO(), numpy.zeros(44100, "float32"), 44100, format=format)
    assert len(read_audio(sound.getvalue(), 8000, 2)) >= 8000
outside = [m.__file__ for m in sys.modules.values() if "site-packages" in (getattr(m, "__file__", "") or "")]
assert not outside, outside
"""


RUN_ON_OPENVINO = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import numpy
from hearth.models.model import create_session
session = create_session(Path(sys.argv[1]), 1, "openvino", fixed_shapes=True)
assert session.get_providers()[0] == "OpenVINOExecutionProvider", session.get_providers()
(pixels,) = session.get_inputs()
(logits,) = session.run(None, {pixels.name: numpy.zeros((1, *pixels.shape[1:]), "float32")})
assert logits.shape == (1, 10) and numpy.isfinite(logits).all()
"""


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_with_its_layers_is_within_the_budget(function: str) -> None:
    layers = FUNCTIONS[function]
    budget = VIDEO_BUDGET if "video" in layers else BUDGET
    assert sum(size(layer(name)) for name in layers) + size(ROOT / "functions" / function) < budget


@pytest.mark.parametrize("function", ["image_classification", "object_detection"])
def test_a_function_fits_with_openvino_in_the_place_of_the_core_layer(function: str) -> None:
    total = sum(size(layer(name)) for name in ("openvino", "vision", "runtime")) + size(ROOT / "functions" / function)
    print(f"{function} with OpenVINO: {total:,} bytes")
    assert total < VIDEO_BUDGET
    assert total + size(layer("core")) > 262_144_000, "both layers would fit: the template needs no choice between them"


def test_openvinos_layer_alone_runs_a_quantized_graph() -> None:
    """Check the session's provider: ONNX Runtime only logs a provider that cannot be loaded, and continues without
    it."""
    graph = next((ROOT / "export/zoo/resnet20-cifar10").glob("*/model.onnx"))
    folders = [str(layer(name) / "python") for name in ("openvino", "runtime")]
    process = subprocess.run(
        [python313(), "-I", "-S", "-c", RUN_ON_OPENVINO, str(graph), *folders], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("name", [*WHEELS, "openvino"])
def test_no_symbol_is_newer_than_the_glibc_of_lambda(name: str) -> None:
    libraries = [path for path in layer(name).rglob("*") if ".so" in path.suffixes]
    assert libraries
    for library in libraries:
        assert newest_glibc(library) <= NEWEST_GLIBC, library


def newest_glibc(library: Path) -> tuple[int, ...]:
    output = subprocess.run(["readelf", "-V", library], capture_output=True, text=True, check=True).stdout
    return max(
        (tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_(\d+\.\d+)", output)), default=(0,)
    )


@pytest.mark.parametrize("name", WHEELS)
def test_there_are_wheels_for_arm64_too(name: str) -> None:
    libraries = [path for path in layer(name, "arm64").rglob("*") if ".so" in path.suffixes]
    assert libraries
    for library in libraries:
        assert machine(library) == AARCH64, library
        assert newest_glibc(library) <= NEWEST_GLIBC, library
    assert machine(next(path for path in layer(name).rglob("*") if ".so" in path.suffixes)) == X86_64
    x86_64_packages, arm64_packages = (
        {info.name for info in layer(name, a).rglob("*.dist-info")} for a in ("x86_64", "arm64")
    )
    assert x86_64_packages == arm64_packages
    assert size(layer(name, "arm64")) < 1.2 * size(layer(name))


def machine(library: Path) -> int:
    """The machine number at byte 18 of an ELF file."""
    return int.from_bytes(library.read_bytes()[18:20], "little")


@pytest.mark.parametrize("name", [*WHEELS, "runtime"])
def test_every_module_has_its_bytecode(name: str) -> None:
    sources = list(layer(name).rglob("*.py"))
    assert sources
    missing = [source for source in sources if not _bytecode(source).exists()]
    assert not missing
    flags = {int.from_bytes(_bytecode(source).read_bytes()[4:8], "little") for source in sources}
    assert flags == {0b01}, "Python would check the source of each .pyc"


def _bytecode(source: Path) -> Path:
    return source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"


def test_the_layers_need_no_other_packages() -> None:
    folders = [str(layer(name) / "python") for name in (*WHEELS, "runtime")]
    process = subprocess.run(
        [python313(), "-I", "-S", "-c", USE_ALL_PACKAGES, *folders], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_every_dependency_is_locked_or_left_out_by_name() -> None:
    folders = [str(layer(name) / "python") for name in WHEELS]
    packages = {canonicalize_name(distribution.name): distribution for distribution in distributions(path=folders)}
    left_out = {
        canonicalize_name(line.split()[0])
        for line in (ROOT / "layers/wheels/left-out.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    environment = {"python_version": "3.13", "python_full_version": "3.13.0", "extra": ""}
    for distribution in packages.values():
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate(environment):
                name = canonicalize_name(requirement.name)
                assert name in left_out or requirement.specifier.contains(packages[name].version), requirement
    assert not left_out & set(packages)


def test_two_builds_are_identical(tmp_path: Path) -> None:
    builds = []
    for attempt in ("one", "two"):
        folder = tmp_path / attempt / "opt"
        path = f"{python313().parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, ROOT / "layers/build.py", "vision", folder]
        subprocess.run(command, check=True, env=os.environ | {"PATH": path})
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        builds.append([(f.relative_to(folder), f.stat().st_mode, f.stat().st_mtime, f.read_bytes()) for f in files])
    assert builds[0] == builds[1]


def test_licences_travel_with_the_wheels() -> None:
    for name in WHEELS:
        for info in (layer(name) / "python").glob("*.dist-info"):
            declares = re.search(
                r"(?m)^(License|License-Expression|License-File|Classifier: License)",
                info.joinpath("METADATA").read_text(),
            )
            assert declares, info.name
