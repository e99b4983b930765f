"""The command `closemesh benchmark cameras`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.lab.evaluation.camera_benchmark import CameraError


def cameras(
    quick: o.QuickOption = False,
    limit: o.LimitOption = None,
    seed: o.SeedOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Compare the focal length and the vertical estimated from people with the true ones of simulated cameras."""
    with exit_codes():
        o.check_new_file(file, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.camera_benchmark import as_json, measure_cameras

        windows = find_windows(None, (), limit, quick)
        with show_progress() as progress:
            errors = measure_cameras(windows, seed or 0, progress)
        o.write_report(file, as_json(errors))
        results.print(_table(errors))


def _table(errors: list[CameraError]) -> Table:
    from closemesh.lab.evaluation.camera_benchmark import NOMINAL, summary

    table = Table(title="Cameras from people", title_style="title")
    columns = ("true focal, diagonals", "estimate", "error, %", "usual camera, %", "vertical, degrees", "level camera")
    table.add_column("window")
    for column in columns:
        table.add_column(column, justify="right")
    for e in errors:
        row = (e.true_focal, e.focal, e.focal_error, e.prior_error, e.vertical_error, e.level_error)
        table.add_row(e.name, *(f"{value:.2f}" if k < 2 else f"{value:.1f}" for k, value in enumerate(row)))
    s = summary(errors)
    for name, k in (("first quartile", 0), ("median", 1), ("third quartile", 2)):
        values = (s[key][k] for key in ("focal_error", "prior_error", "vertical_error", "level_error"))
        table.add_row(name, "", "", *(f"{value:.1f}" for value in values), style="bold")
    table.caption = f"{s['covered']:.0f} % of the {100 * NOMINAL:.0f} % intervals hold the true focal length"
    return table
