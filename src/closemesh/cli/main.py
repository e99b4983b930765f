"""The command `closemesh`: its subcommands, each imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "reconstruct": (
        "reconstruct",
        "Reconstruct people in close contact from a video.",
    ),
    "render": ("results", "Render a result: other views, earlier stages."),
    "describe": ("results", "Write what people do in a result as timed sentences."),
    "export": ("results", "Transfer a finished result to another SMPL-X body."),
    "evaluate": ("evaluate", "Compare a motion of people in contact with the truth."),
    "interactions": ("training", "Generate motion of two people in contact."),
    "demo": ("reconstruct", "Reconstruct the bundled clip of two people."),
    "download-weights": ("download_weights", "Download better detectors, masks and the SMPL-X body."),
    "info": ("info", "Show versions, the device, installed weights and bodies."),
    "benchmark": ("benchmark", "Measure speed and accuracy."),
    "train": ("training", "Train the bundled models on your own data."),
}
"""Name -> module of `closemesh.cli` with a function or a Typer group of this name, and the first line of its help."""


class LazyGroup(TyperGroup):
    """A group that shows its help without importing its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else found, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without Rich, whose Markdown parser takes longer to import than everything else here."""
        mode, self.rich_markup_mode = self.rich_markup_mode, None
        try:
            super().format_help(ctx, formatter)
        finally:
            self.rich_markup_mode = mode


def load_command(name: str) -> Any:
    """Return the Click command of this name; its module is imported."""
    found = getattr(import_module(f"closemesh.cli.{COMMANDS[name][0]}"), name.replace("-", "_"))
    group = typer.Typer(rich_markup_mode="rich", add_completion=False)
    group.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name)(found)
    return typer.main.get_group(group).commands[name]


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


def _show_version(wanted: bool) -> None:
    if wanted:
        from closemesh import __version__

        typer.echo(f"closemesh {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Reconstruct people in close contact from one video: SMPL-X motion, an animated scene and a contact report."""


def main() -> None:
    """Run the command line; entry point of the console script."""
    app()
