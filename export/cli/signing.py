"""`hearth signing-key`, `hearth sign` and `hearth verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth.storage.open import open_store
from hearth_build.cli.options import JsonOption, NameArgument, StoreOption
from hearth_build.cli.output import print_json
from hearth_build.cli.suggestions import similar_models

console = Console()
KeyOption = Annotated[
    str,
    typer.Option(
        envvar="HEARTH_SIGNING_KEY", help="The private key: KEY.pem, or awskms:// followed by an ARN or alias/NAME."
    ),
]


def signing_key(
    key: Annotated[str, typer.Argument(help="New file for the private key, or awskms://… for an existing KMS key.")],
    public: Annotated[Path, typer.Option(help="New file for the public key, e.g. trust/2027.pem.")],
) -> None:
    """Create a key for signing artifacts. HEARTH_VERIFY_KEYS is the folder of the public keys that are trusted."""
    from hearth.models.signature import to_pem
    from hearth_build.release.signing import KMS, load_signer, make_key

    if public.exists():
        raise FileExistsError(f"{public} exists. Choose a new file, because deployments may trust this one.")
    pem = to_pem(load_signer(key).public_key) if key.startswith(KMS) else make_key(Path(key))
    public.parent.mkdir(parents=True, exist_ok=True)
    public.write_bytes(pem)
    private = "stays in KMS" if key.startswith(KMS) else f"is in {key}; keep it secret"
    console.print(f"The private key {private}. The public key is in {public}")


def sign(
    name: NameArgument,
    store: StoreOption,
    key: KeyOption,
) -> None:
    """Sign a published version, or replace its signature with one of another key."""
    from hearth.models.registry import Registry
    from hearth_build.release.signing import load_signer, sign_published

    opened_store = open_store(store)
    with similar_models(store, name):
        ref = Registry(opened_store).resolve(name).ref
    sign_published(opened_store, ref, load_signer(key))
    console.print(f"Signed {ref}")


def verify(
    name: NameArgument,
    store: StoreOption,
    keys: Annotated[Path, typer.Option(envvar="HEARTH_VERIFY_KEYS", help="Folder of the trusted public keys.")],
    json: JsonOption = False,
) -> None:
    """Download a published version and check that every file of it is signed and unchanged."""
    from hearth.models.signature import read
    from hearth_build.release.signing import verify_published

    with similar_models(store, name):
        ref = verify_published(open_store(store), name, read(keys))
    if json:
        print_json({"model": ref.model, "version": ref.version, "verified": True})
        return
    console.print(f"{ref} is signed and unchanged")
