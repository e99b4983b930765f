"""The command `closemesh` and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from closemesh import __version__
from closemesh.cli.benchmark import benchmark
from closemesh.cli.console import results
from closemesh.cli.download_weights import download_weights
from closemesh.cli.evaluate import evaluate
from closemesh.cli.info import info
from closemesh.cli.reconstruct import demo, reconstruct
from closemesh.cli.results import describe, export, render
from closemesh.cli.training import interactions, train

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (reconstruct, render, describe, export, evaluate, interactions, demo, download_weights, info):
    app.command()(_command)
app.add_typer(benchmark, name="benchmark")
app.add_typer(train, name="train")


def _show_version(wanted: bool) -> None:
    if wanted:
        results.print(f"closemesh {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Video of people in close contact to SMPL-X motion and meshes, with the contact kept."""


def main() -> None:
    """Entry point of the console script."""
    app()
