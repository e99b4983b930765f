"""`closemesh benchmark hi4d|chi3d|3dpw --root DIR`: the pipeline on a data set, with published results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.dataset_benchmark import DatasetResult


DATASETS = {"hi4d": "Hi4D", "chi3d": "CHI3D", "3dpw": "3DPW"}


def dataset_command(name: str) -> Callable[..., None]:
    """The command for the data set `name`."""

    @o.config_options("--preset", "--body-model", "--seed")
    def benchmark_dataset(
        root: Annotated[Path, typer.Option(help="Folder in which the data set was unpacked.", show_default=False)],
        config: Config,
        device: o.DeviceOption = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips of a camera.")] = None,
        file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    ) -> None:
        with exit_codes():
            from closemesh.cli.console import show_progress
            from closemesh.core.files import atomic_file
            from closemesh.lab.evaluation.dataset_benchmark import as_json, benchmark_dataset

            with show_progress() as progress:
                result = benchmark_dataset(name, root, config, device, progress, limit)
            results.print(_report(result))
            if file:
                with atomic_file(file) as part:
                    part.write_text(json.dumps(as_json(result), indent=1))

    benchmark_dataset.__doc__ = (
        f"Reconstruct {DATASETS[name]} and compare it with the truth and with published results.\n\n"
        "The pipeline gets the video and the true focal length."
    )
    return benchmark_dataset


def _report(result: DatasetResult) -> RenderableType:
    table = Table(title=f"{DATASETS[result.name]}, mm", title_style="title")
    table.add_column("method")
    for column in result.columns:
        table.add_column(column, justify="right")
    table.add_column("source", overflow="fold")
    rows = [(row.method, row.metrics, row.source, "quiet") for row in result.published]
    rows += [(f"closemesh, {motion}", values, "measured now", "") for motion, values in result.ours.items()]
    for method, values, source, style in rows:
        cells = (f"{values[column]:.1f}" if column in values else "" for column in result.columns)
        table.add_row(method, *cells, source, style=style)
    found = (
        f"{len(result.items)} clips of a camera; {100 * result.found:.1f} % of the people found, only they are scored"
    )
    return Group(table, found, *(f"[quiet]{note}[/quiet]" for note in result.notes))
