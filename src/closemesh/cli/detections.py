"""`closemesh benchmark detections`: are simulated detections like the real ones?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli.console import exit_codes, results


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
        from closemesh.files import replacing
        from closemesh.motion_data.held_out import split_motion_files
        from closemesh.simulation.agreement import compare_detections
        from closemesh.simulation.measure import FilmConfig

        with show_progress() as progress:
            _, held_out = split_motion_files(data)
            lines = compare_detections(held_out, FilmConfig(films, frames, seed=seed), progress)
        title = "Detections, real / simulated; errors in % of the person's size"
        table = Table(title=title, title_style="title")
        for column in ("keypoint", "", "points", "median", "90 %", "step", "missed %", "confidence"):
            table.add_column(column, justify="left" if column in ("keypoint", "") else "right")
        for line in lines:
            real, made = line.real, line.simulated
            table.add_row(
                line.keypoint,
                "hidden" if line.hidden else "seen",
                f"{line.points:,}",
                *(
                    f"{100 * getattr(real, name):.1f} / {100 * getattr(made, name):.1f}"
                    for name in ("median_error", "error_90", "median_step", "missed")
                ),
                f"{real.confidence:.2f} / {made.confidence:.2f}",
            )
        results.print(table)
        if file:
            with replacing(file) as part:
                part.write_text(json.dumps([asdict(line) for line in lines], indent=1))
