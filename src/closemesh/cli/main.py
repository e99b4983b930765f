"""The command `closemesh`: its subcommands, each imported when it is used."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "reconstruct": (
        "reconstruct",
        "Reconstruct people in close contact from a video.",
    ),
    "fix": ("fix", "Repair a result: swapped people, wrong keypoints, missing contact."),
    "render": ("results", "Render a result: other views, earlier stages."),
    "describe": ("results", "Write what people do in a result as timed sentences."),
    "export": ("results", "Write a finished result for other programs, or transfer it to another body."),
    "evaluate": ("evaluate", "Compare a motion of people in contact with the truth."),
    "interactions": ("training", "Generate motion of two people in contact."),
    "demo": ("reconstruct", "Reconstruct the bundled clip of two people."),
    "download-weights": ("download_weights", "Download better detectors, masks and the SMPL-X body."),
    "info": ("info", "Show versions, the device, installed weights and bodies."),
    "benchmark": ("benchmark", "Measure speed and accuracy."),
    "train": ("training", "Train the bundled models on your own data."),
}
"""Name -> module of `closemesh.cli` with a function or a Typer group of this name, and the first line of its help."""
_SIMILAR = {"²": "^2", "³": "^3", "°": " deg", "±": "+-", "µ": "u", "…": "...", "✓": "*", "→": "->"}
_LONG_OPTION = re.compile(r"--[a-z-]+(=.*)?", re.DOTALL)
_FILE_NAME = re.compile(r"-(?![o-])[^=]*\.[A-Za-z][A-Za-z0-9]{1,4}")  # `-oNAME` is the option -o.


class LazyGroup(TyperGroup):
    """A group that shows its help without importing its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        _refuse_files_like_options(rest)
        return name, load_command(name) if name in COMMANDS else found, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without Rich, whose Markdown parser takes longer to import than everything else here."""
        mode, self.rich_markup_mode = self.rich_markup_mode, None
        try:
            super().format_help(ctx, formatter)
        finally:
            self.rich_markup_mode = mode


def _refuse_files_like_options(arguments: list[str]) -> None:
    """Raises BadParameter for a file whose name begins with a dash, which would be read as an option."""
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in filter(_is_file_like_option, before_dashes):
        raise typer.BadParameter(
            f"{argument!r} begins with a dash and is read as an option; if it is a file, give it as {'./' + argument!r}"
        )


def _is_file_like_option(argument: str) -> bool:
    if not argument.startswith("-") or argument in {"-", "-o", "-h"} or _LONG_OPTION.fullmatch(argument):
        return False
    return os.path.exists(argument) or _FILE_NAME.fullmatch(argument) is not None


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
    _print_everywhere()
    app()


def _print_everywhere() -> None:
    """Let text pass to terminals and pipes whose encoding lacks some of its characters."""
    for errors in ("strict", "surrogateescape"):
        codecs.register_error(f"closemesh.{errors}", partial(_replace_character, keeps_bytes=errors != "strict"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            kind = "surrogateescape" if stream.errors == "surrogateescape" else "strict"
            stream.reconfigure(errors=f"closemesh.{kind}")


def _replace_character(error: UnicodeError, keeps_bytes: bool) -> tuple[str | bytes, int]:
    """What stands in the output for a character that its encoding lacks: similar ASCII, else an escape sequence.

    keeps_bytes: a byte of a file name that is no text passes unchanged, as in the locale C.
    """
    assert isinstance(error, UnicodeEncodeError)
    character, after = error.object[error.start], error.start + 1
    if keeps_bytes and "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), after
    return _SIMILAR.get(character) or character.encode("ascii", "backslashreplace").decode(), after
