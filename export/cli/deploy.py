"""`hearth deploy`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth_build import ZOO
from hearth_build.cloud.stack import DEFAULT

console = Console()


def deploy(
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE …", help="Of template.yaml, e.g. TextMemory=3538.")
    ] = None,
    stack: Annotated[str, typer.Option(help="The stack's name.")] = DEFAULT,
    region: Annotated[str, typer.Option(help="Default: what the environment or the profile says.")] = "",
    models: Annotated[
        str | None, typer.Option(help="Publish these as prod: a file with an artifact's folder a line, or zoo.")
    ] = None,
    sign: Annotated[
        str | None, typer.Option(envvar="HEARTH_SIGNING_KEY", help="Sign what is published, as `hearth publish` does.")
    ] = None,
    build_dir: Annotated[Path, typer.Option(help="Where `sam build` leaves its work.")] = Path(".aws-sam/build"),
) -> None:
    """Check everything, `sam build`, `sam deploy`, publish models. Run again, it changes what differs."""
    from hearth_build.cloud.sam_deploy import TEMPLATE, Plan, Template, artifacts

    given = dict(_pair(text) for text in parameters or ())
    folders = artifacts(models, ZOO) if models else []
    Plan(Template.read(TEMPLATE), stack, region, given).run(build_dir.absolute())
    if region:
        os.environ |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    _publish(stack, folders, sign)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"Parameters are given as NAME=VALUE, not {text!r}.")
    return name, value


def _publish(name: str, folders: list[Path], sign: str | None) -> None:
    from hearth.models.manifest import parse
    from hearth.storage.base import Conflict
    from hearth.storage.open import open_store
    from hearth_build.cloud.stack import stack
    from hearth_build.release.publish import publish, set_alias

    deployed = stack(name)
    where = f"s3://{deployed.output('ArtifactBucketName')}/models"
    store = open_store(where)
    by = None
    if sign:
        from hearth_build.release.signing import signer

        by = signer(sign)
    for folder in folders:
        manifest = parse((folder / "manifest.json").read_bytes())
        try:
            publish(store, folder, "prod", by)
            words = "published"
        except Conflict:  # this very version is there
            set_alias(store, manifest.model, "prod", manifest.version)
            words = "was there"
        console.print(f"{manifest.model}@{manifest.version} {words}, and is prod", highlight=False)
    for words, key in (("API", "ApiUrl"), ("Page", "PageUrl"), ("Key's id", "ApiKeyId")):
        console.print(f"{words}: {deployed.output(key)}", highlight=False, markup=False, soft_wrap=True)
    identity = deployed.output("ApiKeyId")
    advice = f"aws apigateway get-api-key --include-value --query value --output text --api-key {identity}"
    console.print(f"The key itself: {advice}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Models: HEARTH_STORE={where}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Next: hearth doctor --stack {name}", highlight=False, markup=False)
