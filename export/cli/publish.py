"""`hearth publish` and `hearth catalog`: what writes to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth.storage.open import open_store
from hearth_build.cli.options import StoreOption

console = Console()


def publish(
    artifact: Annotated[Path, typer.Argument(help="The artifact's folder, which contains manifest.json.")],
    store: StoreOption,
    alias: Annotated[str | None, typer.Option(help="Point this alias at the new version, e.g. prod.")] = None,
    sign: Annotated[
        str | None,
        typer.Option(
            envvar="HEARTH_SIGNING_KEY",
            help="Sign the version with this key: KEY.pem, or awskms:// followed by an ARN or alias/NAME.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Data as `hearth evaluate` reads it, with whose statistics `hearth drift` compares."),
    ] = None,
) -> None:
    """Test an artifact in a separate process and copy it into a store. The manifest is written last."""
    from hearth_build.release.publish import publish as run

    signer = None
    if sign:
        from hearth_build.release.signing import load_signer

        signer = load_signer(sign)
    manifest = run(open_store(store), artifact, alias, signer, reference)
    console.print(f"Published {manifest.model}@{manifest.version}" + (f" as {alias}" if alias else ""))
    if alias:
        following = f"hearth predict {manifest.model}@{alias} INPUT --store {store}"
    else:
        console.print(
            f"No alias points to this version yet: only {manifest.model}@{manifest.version} reaches it.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        following = f"hearth alias {manifest.model} prod {manifest.version} --store {store}"
    if not store.startswith("file:"):
        from hearth_build.cloud.dedicated import FILE, read_configuration
        from hearth_build.cloud.fits import advice

        if text := advice(manifest, read_configuration(Path(FILE))):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Next: {following}", highlight=False, markup=False, soft_wrap=True)


def catalog(store: StoreOption) -> None:
    """Write the catalogue of a store anew, after its aliases were changed by other means than this command."""
    from hearth_build.release.catalog import rebuild

    entries = rebuild(open_store(store))
    console.print(f"{store} has {len(entries)} models with the alias prod", highlight=False, soft_wrap=True)
