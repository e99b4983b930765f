"""`closemesh benchmark detections`: are simulated detections like the real ones?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.simulation.agreement import Agreement


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

        from closemesh.cli.progress import show_progress
        from closemesh.motion_data.held_out import split_motion_files
        from closemesh.output.json_file import write_json
        from closemesh.simulation.agreement import compare_detections
        from closemesh.simulation.measure import FilmConfig

        with show_progress() as progress:
            _, held_out = split_motion_files(data)
            lines = compare_detections(held_out, FilmConfig(films, frames, seed=seed), progress)
        results.print(_table(lines))
        if file:
            write_json(file, schema=1, values={"lines": [asdict(line) for line in lines]})


def _table(lines: list[Agreement]) -> Table:
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
