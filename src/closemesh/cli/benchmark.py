"""`closemesh benchmark`: how fast closemesh is on this machine, and how well it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.ablation import ablation
from closemesh.cli.benchmark_datasets import DATASETS, dataset_command
from closemesh.cli.benchmark_descriptions import descriptions
from closemesh.cli.benchmark_identities import identities
from closemesh.cli.benchmark_language import language
from closemesh.cli.benchmark_synthetic import synthetic
from closemesh.cli.console import exit_codes, results
from closemesh.cli.detections import detections

benchmark = typer.Typer(no_args_is_help=True, help="Measure how fast and how well closemesh works.")


@benchmark.callback()
def _group() -> None:
    """Measure how fast and how well closemesh works."""


@benchmark.command()
def speed(
    clip: Annotated[Path | None, typer.Argument(help="A clip.", show_default="the bundled one")] = None,
    preset: o.PresetOption = None,
    loop: Annotated[int, typer.Option(min=1, help="Play the clip this often, to see how memory grows.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions of the small measurements.")] = 10,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Time every stage and the parts that decide the speed, each in a process of its own."""
    with exit_codes():
        from dataclasses import asdict

        from closemesh.cli.progress import show_progress
        from closemesh.evaluation.speed import measure_speed
        from closemesh.files import replacing
        from closemesh.weights.known import DEMO_CLIP
        from closemesh.weights.search import find_model

        with show_progress() as progress:
            config = o.build_config(None, preset, {})
            figures = measure_speed(clip or find_model(DEMO_CLIP), config, device, loop, runs, progress)
        table = Table(title="Speed", title_style="title")
        for column in ("what", "milliseconds", "runs", "peak MB"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for figure in figures:
            peak = "" if figure.peak_megabytes is None else f"{figure.peak_megabytes:,.0f}"
            table.add_row(figure.name, f"{figure.milliseconds:,.1f}", str(figure.runs), peak)
        results.print(table)
        if file:
            with replacing(file) as part:
                part.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


benchmark.command()(synthetic)
benchmark.command()(ablation)
benchmark.command()(identities)
benchmark.command()(language)
benchmark.command()(descriptions)
benchmark.command()(detections)
for _name in DATASETS:
    benchmark.command(_name)(dataset_command(_name))
