"""The command `closemesh benchmark hidden`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.hidden_benchmark import HiddenError


@o.config_options("--preset", "--seed")
def hidden(
    config: Config,
    quick: Annotated[bool, typer.Option("--quick", help="A small fixed selection of windows.")] = False,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N windows.")] = None,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Hide one of two people in contact for 8 to 30 frames, and score that person's motion there.

    Without the interaction prior the motion between the frames around is straight; with it, it is generated from the
    other person.
    """
    with exit_codes():
        o.check_new_file(file, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.hidden_benchmark import GAPS, as_json, measure_hidden

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        with show_progress() as progress:
            errors = measure_hidden(windows, config, GAPS, device, progress)
        o.write_report(file, as_json(errors, config.seed))
        results.print(_table(errors, config.seed))


def _table(errors: list[HiddenError], seed: int) -> Table:
    from closemesh.lab.evaluation.hidden_benchmark import METRICS, summary

    windows = len({one.name for one in errors})
    table = Table(title=f"Hidden people in {windows} windows, mm; in brackets the 95 % interval", title_style="title")
    for column in ("frames hidden", "motion"):
        table.add_column(column)
    for metric in METRICS:
        table.add_column(f"{metric}, straight", justify="right")
        table.add_column("generated", justify="right")
    for gap, motions in summary(errors, seed).items():
        for motion, metrics in motions.items():
            cells = []
            for change in (metrics[metric] for metric in METRICS):
                known = change.low is not None and change.high is not None
                bounds = f" ({change.low:+.1f} .. {change.high:+.1f})" if known else ""
                cells += [f"{change.old:.1f}", f"{change.new:.1f}{bounds}"]
            table.add_row(str(gap), motion, *cells)
    return table
