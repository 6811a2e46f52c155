"""The commands that make keys, sign and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth.storage.open import open_store

console = Console()
StoreOption = Annotated[str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")]
KeyOption = Annotated[
    str, typer.Option(envvar="HEARTH_SIGNING_KEY", help="KEY.pem, or awskms:// and an ARN or alias/NAME.")
]


def signing_key(
    key: Annotated[str, typer.Argument(help="The private key's new file, or awskms://… for a key that KMS has.")],
    public: Annotated[Path, typer.Option(help="Where its public half goes, e.g. trust/2027.pem.")],
) -> None:
    """Make a key to sign artifacts with; HEARTH_VERIFY_KEYS names the folder of the public halves."""
    from hearth.models.signature import to_pem
    from hearth_build.release.signing import KMS, make_key, signer

    if public.exists():
        raise FileExistsError(f"{public} exists. Name a new file: deployments may trust this one.")
    pem = to_pem(signer(key).public) if key.startswith(KMS) else make_key(Path(key))
    public.parent.mkdir(parents=True, exist_ok=True)
    public.write_bytes(pem)
    where = "stays in KMS" if key.startswith(KMS) else f"is {key}, which nobody else may read"
    console.print(f"The private key {where}; the public one is {public}")


def sign(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    store: StoreOption,
    key: KeyOption,
) -> None:
    """Sign a version that is in a store: the first time, or anew with another key."""
    from hearth.models.registry import Registry
    from hearth_build.release.signing import sign_published, signer

    opened = open_store(store)
    ref = Registry(opened).find(name)
    sign_published(opened, ref, signer(key))
    console.print(f"Signed {ref}")


def verify(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    store: StoreOption,
    keys: Annotated[Path, typer.Option(envvar="HEARTH_VERIFY_KEYS", help="The folder of public keys.")],
) -> None:
    """Fetch a version and see that every byte of it was signed, and nothing else lies beside it."""
    from hearth.models.signature import read
    from hearth_build.release.signing import verify_published

    ref = verify_published(open_store(store), name, read(keys))
    console.print(f"{ref} is what was signed")
