"""Benchmark group, speed, identities, language, detections.

`closemesh benchmark identities`: how well people keep their numbers.

`closemesh benchmark language`: how well texts find the poses that they are about.

`closemesh benchmark detections`: are simulated detections like the real ones?

`closemesh benchmark`: how fast closemesh is on this machine, and how well it does.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.benchmark_datasets import DATASETS, dataset_command
from closemesh.cli.benchmark_descriptions import descriptions
from closemesh.cli.benchmark_synthetic import ablation, synthetic
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.simulation.error_labels import DetectionComparison


def identities(
    quick: Annotated[bool, typer.Option("--quick", help="A few windows, always the same.")] = False,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many windows.")] = None,
    seed: o.SeedOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Film windows, follow their people, and count who is under a wrong number before and after identities are checked.

    Then exchanges of half a second to one and a half are put into the tracks, and it is counted how many are undone.
    """
    with exit_codes():
        from closemesh.cli.console import show_progress
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.identity_benchmark import measure_identities

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        with show_progress() as progress:
            figures = measure_identities(windows, seed or 0, progress)
        table = Table(title="Identities", title_style="title")
        columns = ("detections", "wrong as tracked", "wrong after", "exchanges put in", "undone")
        table.add_column("window")
        for column in columns:
            table.add_column(column, justify="right")
        rows = [(f.told, f.wrong_before, f.wrong_after, f.injected, f.repaired) for f in figures]
        for one, row in zip(figures, rows, strict=True):
            table.add_row(one.name, *(str(value) for value in row))
        table.add_row("all", *(str(sum(column)) for column in zip(*rows, strict=True)), style="bold")
        results.print(table)
        if file:
            with atomic_file(file) as part:
                part.write_text(json.dumps([asdict(one) for one in figures], indent=1))


def language(
    readers: Annotated[
        Path | None,
        typer.Option(help="Folder of readers that `closemesh train language` made.", show_default="the bundled ones"),
    ] = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Look for each of 1,000 poses of the bundled windows by what is said of it: plainly, in many wordings, by hand."""
    with exit_codes():
        from closemesh.core.device import choose_device
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.text_retrieval import measure_retrieval
        from closemesh.text.alignment import load_alignment

        found = measure_retrieval(load_alignment(choose_device(device), readers), seed or 0)
        table = Table(title="Poses found by texts", title_style="title")
        for column in ("texts", "how many", "among poses", "first, %", "first ten, %"):
            table.add_column(column, justify="left" if column == "texts" else "right")
        for name, one in found.items():
            table.add_row(name, str(one.texts), str(one.poses), f"{100 * one.first:.1f}", f"{100 * one.ten:.1f}")
        results.print(table)
        if file:
            with atomic_file(file) as part:
                part.write_text(json.dumps({name: asdict(one) for name, one in found.items()}, indent=1))


def detections(
    data: Annotated[Path, typer.Option(help="Folder with motion; only what is held out for measuring is used.")],
    films: Annotated[int, typer.Option(min=1, help="Films to render and observe.")] = 10,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each film.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cameras, clothes and rooms.")] = 1000,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Compare the detector on rendered films with simulated detections of the same scenes."""
    with exit_codes():
        from dataclasses import asdict

        from closemesh.cli.console import show_progress
        from closemesh.core.records import write_json
        from closemesh.lab.datasets.registry import split_motion_files
        from closemesh.lab.simulation.error_labels import compare_detections
        from closemesh.lab.simulation.measure import VideoConfig

        with show_progress() as progress:
            _, held_out = split_motion_files(data)
            lines = compare_detections(held_out, VideoConfig(films, frames, seed=seed), progress)
        results.print(_table(lines))
        if file:
            write_json(file, schema=1, values={"lines": [asdict(line) for line in lines]})


def _table(lines: list[DetectionComparison]) -> Table:
    table = Table(title="Detections, real / simulated; errors in % of the person's size", title_style="title")
    for column in ("keypoint", "", "points", "median", "90 %", "step", "missed %", "confidence"):
        table.add_column(column, justify="left" if column in ("keypoint", "") else "right")
    for line in lines:
        shares = ("median_error", "error_90", "median_step", "missed")
        cells = [_both(100 * getattr(line.real, name), 100 * getattr(line.simulated, name), 1) for name in shares]
        cells.append(_both(line.real.confidence, line.simulated.confidence, 2))
        table.add_row(line.keypoint, "hidden" if line.hidden else "seen", f"{line.points:,}", *cells)
    return table


def _both(real: float, simulated: float, digits: int) -> str:
    return " / ".join("-" if math.isnan(value) else f"{value:.{digits}f}" for value in (real, simulated))


benchmark = typer.Typer(no_args_is_help=True, help="Measure how fast and how well closemesh works.")


@benchmark.callback()
def _group() -> None:
    """Measure how fast and how well closemesh works."""


@benchmark.command()
@o.config_options("--preset")
def speed(
    config: Config,
    clip: Annotated[Path | None, typer.Argument(help="A clip.", show_default="the bundled one")] = None,
    loop: Annotated[int, typer.Option(min=1, help="Play the clip this often, to see how memory grows.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions of the small measurements.")] = 10,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Time every stage and the parts that decide the speed, each in a process of its own."""
    with exit_codes():
        from dataclasses import asdict

        from closemesh.cli.console import show_progress
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.speed import measure_speed
        from closemesh.weights.locate import find_model
        from closemesh.weights.registry import DEMO_CLIP

        with show_progress() as progress:
            figures = measure_speed(clip or find_model(DEMO_CLIP), config, device, loop, runs, progress)
        table = Table(title="Speed", title_style="title")
        for column in ("what", "milliseconds", "runs", "peak MB"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for figure in figures:
            peak = "" if figure.peak_megabytes is None else f"{figure.peak_megabytes:,.0f}"
            table.add_row(figure.name, f"{figure.milliseconds:,.1f}", str(figure.runs), peak)
        results.print(table)
        if file:
            with atomic_file(file) as part:
                part.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


benchmark.command()(synthetic)
benchmark.command()(ablation)
benchmark.command()(identities)
benchmark.command()(language)
benchmark.command()(descriptions)
benchmark.command()(detections)
for _name in DATASETS:
    benchmark.command(_name)(dataset_command(_name))
