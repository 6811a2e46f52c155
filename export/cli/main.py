"""The `hearth` command. A command's module is imported when it is called, and imports there what it needs."""

from __future__ import annotations

import pkgutil
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hearth.bootstrap import prepare_process
from hearth_build.cli.failures import reported
from hearth_build.cli.options import configured_store
from hearth_build.cli.suggestions import did_you_mean

COMMANDS = {
    "serve": "serve:serve",
    "models": "models:models",
    "predict": "predict:predict",
    "chat": "chat:chat",
    "explain": "explain:explain",
    "evaluate": "evaluate:evaluate",
    "batch": "batch:batch",
    "train": "train:train",
    "import": "import_model:import_model",
    "build": "build:build",
    "publish": "publish:publish",
    "alias": "alias:alias",
    "rollout": "rollout:rollout",
    "catalog": "publish:catalog",
    "export-hub": "export_hub:export_hub",
    "push": "registry:push",
    "pull": "registry:pull",
    "deploy": "deploy:deploy",
    "template": "deploy:template",
    "destroy": "stacks:destroy",
    "logs": "stacks:logs",
    "watch": "watch:watch",
    "drift": "drift:drift",
    "review": "review:review",
    "doctor": "doctor:doctor",
    "cost": "cost:cost",
    "bench": "bench:bench",
    "api-key": "api_keys:api_key",
    "audit": "api_keys:audit",
    "signing-key": "signing:signing_key",
    "sign": "signing:sign",
    "verify": "signing:verify",
}
"""Command -> its module in `hearth_build.cli` and its function, in the order of the help."""


class Commands(TyperGroup):
    """The commands of the table."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            if not ctx.resilient_parsing:
                advice = did_you_mean(cmd_name, COMMANDS)
                ctx.fail(f"There is no command {cmd_name}.{advice} `hearth --help` lists all.")
            return None
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(pkgutil.resolve_name(f"hearth_build.cli.{COMMANDS[cmd_name]}"))
        return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit status: 0 success, 1 failure or a problem found, 2 wrong usage, 70 a fault of Hearth itself, "
    "130 interrupted.",
)


def print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        from hearth_build.installation import DISTRIBUTION

        print(f"hearth {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hearth: AI models from serverless functions."""
    if store := configured_store():
        context.default_map = {command: {"store": store} for command in COMMANDS if command != "doctor"}  # see its help


def main() -> None:
    """Run the command. An error is one sentence on standard error."""
    prepare_process()
    with reported():
        app(prog_name="hearth")


if __name__ == "__main__":
    main()
