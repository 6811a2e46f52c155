"""A container engine and a Lambda-like image, for SAM local: no registry, no service, nothing left behind.

The image is Debian's essential packages with this machine's Python 3.13 at /var/lang and the runtime client
at /var/runtime, under the name that SAM CLI asks for.
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
from tests.support.layers import TOOLS, emulator_binary, made_once, python313, runtime_client

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
BRIDGE = "172.17.0.1"
"""This machine as containers see it; servers for them bind to it and to nothing else."""
DOCKERFILE = ROOT / "tests/lambda/Dockerfile"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SUITE = "bookworm"
# What Python's own modules link against.
PACKAGES = "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libsqlite3-0,libssl3,libstdc++6,libuuid1,zlib1g"


def missing() -> str | None:
    """Why containers cannot run here, or None. In CI they must, so that nothing is skipped there."""
    if os.environ.get("CI") != "true":
        if os.geteuid() != 0:
            return "containers need root: they are started by a dockerd of the tests' own"
        for program in ("dockerd", "iptables", "mmdebstrap"):
            if shutil.which(program) is None:
                return f"{program} is missing: apt-get install docker.io iptables mmdebstrap"
        if Path("/sys/class/net/docker0").exists():
            return "another container engine runs here, or left its bridge: ip link delete docker0"
    return None


@contextmanager
def engine() -> Iterator[dict[str, str]]:
    """A dockerd of our own; yields the environment that points docker and SAM at it.

    Afterwards it is stopped, its bridge removed, and the packet filter as it was before.
    """
    forwarding, policy = FORWARDING.read_text(), _forward_policy()
    data = TOOLS / "docker"
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hearth-docker-") as scratch:
        # Not under the checkout: a socket's path has 107 characters at most.
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
    listed = subprocess.run(["iptables", "-S", "FORWARD"], check=True, capture_output=True, text=True)
    return listed.stdout.split()[2]


def _restore_network(forwarding: str, policy: str) -> None:
    """Take dockerd's own rules out again; those of others stay."""
    saved = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    others = [line for line in saved.splitlines() if not re.search(r"DOCKER|docker0|172\.17\.0\.0/16", line)]
    subprocess.run(["iptables-restore"], input="\n".join(others) + "\n", check=True, text=True)
    subprocess.run(["iptables", "-P", "FORWARD", policy], check=True)
    FORWARDING.write_text(forwarding)


def remove_containers(environment: dict[str, str]) -> None:
    """Stop and remove every container of this engine."""
    listed = subprocess.run(["docker", "ps", "--all", "--quiet"], env=environment, capture_output=True, text=True)
    if listed.stdout.split():
        subprocess.run(["docker", "rm", "--force", *listed.stdout.split()], env=environment, capture_output=True)


def build_image(environment: dict[str, str]) -> None:
    """Make IMAGE in the engine, unless it is there."""
    context = made_once("lambda-image", DOCKERFILE.read_bytes() + PACKAGES.encode(), _fill_context)
    tag = f"hearth/{context.name}"
    if subprocess.run(["docker", "image", "inspect", tag], env=environment, capture_output=True).returncode:
        docker("import", str(context / "rootfs.tar"), "hearth/rootfs", environment=environment)
        docker("build", "--tag", tag, str(context), environment=environment)
    docker("tag", tag, IMAGE, environment=environment)


def docker(*arguments: str, environment: dict[str, str]) -> str:
    """Run docker and return what it prints; its complaint is in the error."""
    done = subprocess.run(["docker", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"docker {arguments[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


def _fill_context(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={PACKAGES}"]
    # A snapshot's release file may be past its date; documents would be a third of the image.
    command += ["--aptopt=Acquire::Check-Valid-Until false"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
    subprocess.run([*command, SUITE, folder / "rootfs.tar", "http://deb.debian.org/debian"], check=True)
    prefix = python313().resolve().parent.parent
    unneeded = shutil.ignore_patterns("test", "idlelib", "tkinter", "ensurepip", "site-packages", "*.a")
    for part in ("bin", "lib"):
        shutil.copytree(prefix / part, folder / "lang" / part, symlinks=True, ignore=unneeded)
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
