"""A container engine and a Lambda-like image for SAM local; needs no registry and no service, and cleans up.

The image is Debian's essential packages with this machine's Python 3.13 at /var/lang and the runtime client at
/var/runtime, under the name that SAM CLI looks for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT
from tests.support.layers import TOOLS, build_once, emulator_binary, python313, runtime_client

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
BRIDGE = "172.17.0.1"
"""The address of this machine for containers; servers for them bind only to it."""
DOCKERFILE = ROOT / "tests/lambda/Dockerfile"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SUITE = "bookworm"
# Libraries that Python's extension modules link against.
PACKAGES = "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libsqlite3-0,libssl3,libstdc++6,libuuid1,zlib1g"


def reason_to_skip() -> str | None:
    """Return why containers cannot run here, or None. Nothing is skipped in CI."""
    if os.environ.get("CI") != "true":
        if os.geteuid() != 0:
            return "containers need root: the tests start their own dockerd"
        for program in ("dockerd", "iptables", "mmdebstrap"):
            if shutil.which(program) is None:
                return f"{program} is missing: apt-get install docker.io iptables mmdebstrap"
        if Path("/sys/class/net/docker0").exists():
            return "another container engine is running or left its bridge: ip link delete docker0"
    return None


@contextmanager
def engine() -> Iterator[dict[str, str]]:
    """Run our own dockerd; yield the environment that makes docker and SAM use it.

    Afterwards dockerd is stopped, its bridge is removed and the packet filter is restored.
    """
    forwarding, policy = FORWARDING.read_text(), _forward_policy()
    data = TOOLS / "docker"
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hearth-docker-") as scratch:
        # Not in the repository: the path of a socket has at most 107 characters.
        socket = Path(scratch) / "docker.sock"
        environment = os.environ | {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
        with (data / "dockerd.log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    *("dockerd", "--host", f"unix://{socket}", "--data-root", data / "data"),
                    *("--exec-root", f"{scratch}/exec", "--pidfile", f"{scratch}/dockerd.pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                _wait(daemon, environment, data / "dockerd.log")
                yield environment
            finally:
                remove_containers(environment)
                daemon.terminate()
                daemon.wait(30)
                subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True)
                _restore_network(forwarding, policy)


def _forward_policy() -> str:
    rules = subprocess.run(["iptables", "-S", "FORWARD"], check=True, capture_output=True, text=True)
    return rules.stdout.split()[2]


def _restore_network(forwarding: str, policy: str) -> None:
    """Remove dockerd's rules from the packet filter and keep all others."""
    saved = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    rules = [line for line in saved.splitlines() if not re.search(r"DOCKER|docker0|172\.17\.0\.0/16", line)]
    subprocess.run(["iptables-restore"], input="\n".join(rules) + "\n", check=True, text=True)
    subprocess.run(["iptables", "-P", "FORWARD", policy], check=True)
    FORWARDING.write_text(forwarding)


def remove_containers(environment: dict[str, str]) -> None:
    """Stop and remove every container of this engine."""
    containers = subprocess.run(["docker", "ps", "--all", "--quiet"], env=environment, capture_output=True, text=True)
    if containers.stdout.split():
        subprocess.run(["docker", "rm", "--force", *containers.stdout.split()], env=environment, capture_output=True)


def build_image(environment: dict[str, str]) -> None:
    """Build IMAGE in the engine unless it exists."""
    context = build_once("lambda-image", DOCKERFILE.read_bytes() + PACKAGES.encode(), _fill_context)
    tag = f"hearth/{context.name}"
    if subprocess.run(["docker", "image", "inspect", tag], env=environment, capture_output=True).returncode:
        docker("import", str(context / "rootfs.tar"), "hearth/rootfs", environment=environment)
        docker("build", "--tag", tag, str(context), environment=environment)
    docker("tag", tag, IMAGE, environment=environment)


def docker(*arguments: str, environment: dict[str, str]) -> str:
    """Run docker and return its output. Raises RuntimeError with its error message."""
    result = subprocess.run(["docker", *arguments], env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"docker {arguments[0]} failed: {result.stderr or result.stdout}")
    return result.stdout


def _fill_context(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={PACKAGES}"]
    # The release file of a snapshot may have expired; documentation would be a third of the image.
    command += ["--aptopt=Acquire::Check-Valid-Until false"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    subprocess.run([*command, SUITE, folder / "rootfs.tar", "http://deb.debian.org/debian"], check=True)
    prefix = python313().resolve().parent.parent
    unneeded = shutil.ignore_patterns("test", "idlelib", "tkinter", "ensurepip", "site-packages", "*.a")
    for name in ("bin", "lib"):
        shutil.copytree(prefix / name, folder / "lang" / name, symlinks=True, ignore=unneeded)
    shutil.copytree(runtime_client(), folder / "runtime")
    shutil.copy(emulator_binary(), folder / "aws-lambda-rie")
    shutil.copy(DOCKERFILE, folder)
    shutil.copy(DOCKERFILE.with_name("bootstrap"), folder)


def _wait(daemon: subprocess.Popen[bytes], environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and daemon.poll() is None:
        if subprocess.run(["docker", "info"], env=environment, capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text()[-2000:]}")
