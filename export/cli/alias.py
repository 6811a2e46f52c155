"""`hearth alias`: which version answers for a name, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hearth.storage.open import open_store
from hearth_build.cli.options import StoreOption

if TYPE_CHECKING:
    from hearth.models.registry import Alias
    from hearth.storage.base import Store

console = Console()
AliasArgument = Annotated[str, typer.Argument(help="A new or an existing alias.")]


def alias(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    store: StoreOption,
    alias: AliasArgument = "prod",
    version: Annotated[str, typer.Argument(help="A published version, e.g. 2.")] = "",
    share: Annotated[
        str, typer.Option(help="Let VERSION answer this share of the callers, or the shadow of the requests, e.g. 10%.")
    ] = "",
    shadow: Annotated[
        str, typer.Option(help="Let this version compute the answers too, for comparison in the log.")
    ] = "",
    promote: Annotated[bool, typer.Option("--promote", help="The version with a share answers all callers.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="End the share and the shadow.")] = False,
) -> None:
    """Point an alias of a model at a version, or a share of its callers; without VERSION, print what it is."""
    if sum((bool(version), bool(shadow), promote, rollback)) > 1:
        raise typer.BadParameter("VERSION, --shadow, --promote and --rollback exclude each other.")
    if share and not (version or shadow):
        raise typer.BadParameter("--share needs a VERSION, or --shadow.")
    from hearth_build.release.aliases import describe

    changed = _change(open_store(store), name, alias, version, share, shadow, promote, rollback)
    console.print(f"{name}@{alias} is {describe(changed)}", highlight=False, markup=False, soft_wrap=True)
    if changed.canary and not promote:
        following = f"hearth alias {name} {alias} --promote --store {store}   (or --rollback)"
        console.print(f"Next: {following}", highlight=False, markup=False, soft_wrap=True)


def _change(
    store: Store, name: str, alias: str, version: str, share: str, shadow: str, promote: bool, rollback: bool
) -> Alias:
    """Change the alias as the options say, and return what it is. Raises as `aliases.set_alias`."""
    from hearth_build.release import aliases

    store.check()
    if promote:
        return aliases.promote(store, name, alias)
    if rollback:
        return aliases.rollback(store, name, alias)
    if shadow:
        return aliases.set_shadow(store, name, alias, shadow, parse_share(share) if share else 1.0)
    if share:
        return aliases.set_canary(store, name, alias, version, parse_share(share))
    if version:
        aliases.set_alias(store, name, alias, version)
    return aliases.read_alias(store, name, alias)


def parse_share(text: str) -> float:
    """A percentage such as 10% or 0.5%, or a fraction such as 0.1. Raises BadParameter."""
    digits = text.removesuffix("%").strip()
    try:
        number = float(digits) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"A share is a percentage such as 10%, not {text!r}.")
    return number
