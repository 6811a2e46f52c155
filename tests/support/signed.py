"""Signed stores: a key of each kind that a deployment may meet, and artifacts signed with a trusted one."""

from __future__ import annotations

import json
from pathlib import Path

from hearth.models.manifest import SIGNATURE, parse
from hearth_build.release.signing import LocalKey, digests_of, make_key, sign

TRUSTED, NEXT, EXPIRED, EARLY, STRANGE = "trusted", "next", "expired", "early", "strange"
"""Names of keys: two that are valid today, one that has expired, one not valid yet, and one that is not trusted."""


def make_keys(folder: Path, minimum: dict[str, int] | None = None) -> Path:
    """Write private keys as `<name>.key` into the folder; return the trust folder with the public keys."""
    trust = folder / "trust"
    trust.mkdir(parents=True)
    for name in (TRUSTED, NEXT, EXPIRED, EARLY, STRANGE):
        public = make_key(folder / f"{name}.key")
        if name != STRANGE:
            (trust / f"{name}.pem").write_bytes(public)
    windows = {"expired.pem": {"not_after": "2020-12-31"}, "early.pem": {"not_before": "2999-01-01"}}
    (trust / "trust.json").write_text(json.dumps({"keys": windows, "minimum": minimum or {}}))
    return trust


def key(trust: Path, name: str = TRUSTED) -> LocalKey:
    return LocalKey(trust.parent / f"{name}.key")


def sign_folder(artifact: Path, signer: LocalKey) -> None:
    """Sign the artifact in the folder `<model>/<version>` of a store."""
    raw = (artifact / "manifest.json").read_bytes()
    ref = f"{artifact.parent.name}@{artifact.name}"
    (artifact / SIGNATURE).write_bytes(sign(signer, ref, digests_of(parse(raw), raw)))
