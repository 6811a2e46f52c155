"""How this copy of Hearth was installed, and the command that adds an extra to it."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "hearth-serverless"


def install_command(extra: str) -> str:
    """The command that installs `extra` as Hearth itself was installed: by pip, uv or pipx, from the same place."""
    requirement, is_editable = _requirement(extra)
    quoted = shlex.quote(requirement)
    if _installer() == "uv" and "/archive-v0/" in sys.prefix:  # the environment of one `uvx` run
        return f"uvx --from {quoted} hearth …"
    if "/pipx/venvs/" in sys.prefix:
        return f"pipx install --force {'--editable ' if is_editable else ''}{quoted}"
    return f"{sys.executable} -m pip install {'-e ' if is_editable else ''}{quoted}"


def _requirement(extra: str) -> tuple[str, bool]:
    """The requirement with `extra`, and whether it is a checkout that is installed in place (PEP 610)."""
    direct = json.loads(_metadata("direct_url.json") or "{}")
    url = str(direct.get("url", ""))
    if direct.get("dir_info", {}).get("editable"):
        return f"{unquote(urlsplit(url).path)}[{extra}]", True
    if vcs := direct.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"{DISTRIBUTION}[{extra}]" + (f" @ {url}" if url else ""), False


def _installer() -> str:
    return _metadata("INSTALLER").strip()


def _metadata(name: str) -> str:
    """A file of the installed distribution's metadata; empty without one, as with a bare PYTHONPATH."""
    try:
        return distribution(DISTRIBUTION).read_text(name) or ""
    except PackageNotFoundError:
        return ""
