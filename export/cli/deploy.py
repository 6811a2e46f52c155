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
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE …", help="Parameters of template.yaml, e.g. Memory=3538."),
    ] = None,
    stack: Annotated[str, typer.Option(help=f"Name of the CloudFormation stack. Default: {DEFAULT}.")] = "",
    region: Annotated[str, typer.Option(help="AWS region. Default: that of the environment or the profile.")] = "",
    models: Annotated[
        str | None,
        typer.Option(help='Publish these models as prod: "zoo", or a file with one artifact folder per line.'),
    ] = None,
    sign: Annotated[
        str | None,
        typer.Option(envvar="HEARTH_SIGNING_KEY", help="Sign the published models with this key: see hearth publish."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build, and print the changes without making them.")
    ] = False,
    build_dir: Annotated[Path, typer.Option(help="Build folder of `sam build`.")] = Path(".aws-sam/build"),
) -> None:
    """Check the setup, run `sam build` and `sam deploy`, and publish models. Run it again to update the stack.

    Parameters that are not named stay as the stack has them. A hearth.toml in this folder may have parameters, and
    models with functions of their own.
    """
    from hearth_build.cloud.dedicated import FILE, read_configuration
    from hearth_build.cloud.parameters import Template
    from hearth_build.cloud.sam_deploy import TEMPLATE, Plan, artifact_folders

    template = Template.read(TEMPLATE)
    configuration = read_configuration(Path(FILE))
    stack, region = stack or configuration.stack or DEFAULT, region or configuration.region
    overrides = {name: str(value) for name, value in configuration.parameters.items()}
    overrides |= dict(_parse_parameter(text) for text in parameters or ())
    folders = artifact_folders(models, ZOO) if models else []
    plan = Plan(template, stack, region, overrides, configuration.dedicated, configuration.most_dollars_a_month)
    plan.run(build_dir.absolute(), dry_run=dry_run)
    if dry_run:
        return
    if region:
        os.environ |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    _publish(stack, folders, sign)


def template(
    file: Annotated[Path, typer.Argument(help="The models that have functions of their own.")] = Path("hearth.toml"),
) -> None:
    """Print the template that `hearth deploy` builds: template.yaml with the functions of hearth.toml."""
    from hearth_build.cloud.dedicated import FILE, expand, read_configuration
    from hearth_build.cloud.sam_deploy import TEMPLATE

    if file != Path(FILE) and not file.is_file():
        raise typer.BadParameter(f"There is no file {file}.")
    print(expand(TEMPLATE.read_text(), read_configuration(file).dedicated), end="")


def _parse_parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"Parameters have the form NAME=VALUE, unlike {text!r}.")
    return name, value


def _publish(stack_name: str, folders: list[Path], key: str | None) -> None:
    """Publish the artifacts to the deployed stack, and print how to use it."""
    from hearth.storage.open import open_store
    from hearth_build.cloud.stack import describe_stack
    from hearth_build.release.publish import publish

    stack = describe_stack(stack_name)
    store_uri = f"s3://{stack.output('ArtifactBucketName')}/models"
    store = open_store(store_uri)
    signer = None
    if key:
        from hearth_build.release.signing import load_signer

        signer = load_signer(key)
    for folder in folders:
        manifest = publish(store, folder, "prod", signer)
        console.print(f"{manifest.model}@{manifest.version} is published, alias prod points to it", highlight=False)
    for label, output_key in (("API", "ApiUrl"), ("Page", "PageUrl"), ("API key id", "ApiKeyId")):
        console.print(f"{label}: {stack.output(output_key)}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"To show the API key: hearth api-key --stack {stack_name}", highlight=False, markup=False)
    console.print(f"Model store: HEARTH_STORE={store_uri}", highlight=False, markup=False, soft_wrap=True)
    uploads, results = stack.output("UploadBucketName"), stack.output("ResultBucketName")
    console.print(
        f"Uploads: s3://{uploads}/uploads/MODEL/…, answered at s3://{results}/results/uploads/MODEL/….json",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(f"Next: hearth doctor --stack {stack_name}", highlight=False, markup=False)
