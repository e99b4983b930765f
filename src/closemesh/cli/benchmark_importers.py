"""The command `closemesh benchmark importers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.report import BenchmarkReport

_MAX_JOBS = 8  # Each is a process with the networks in its memory.
_ROWS = (
    ("all", ("MPJPE", "PA-MPJPE", "Inter", "root-depth", "jitter")),
    ("occluded", ("MPJPE",)),
    ("contact", ("MPJPE", "Pair-PA-MPJPE", "contact-F1@50mm")),
)


@o.config_options("--preset", "--seed")
def importers(
    config: Config,
    quick: Annotated[bool, typer.Option("--quick", help="A small fixed selection of windows.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of motion files, each a window, instead of the bundled ones.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N windows.")] = None,
    device: o.DeviceOption = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Windows at a time.", show_default="one per core, at most 8")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the reports here; finished windows are cached beside it.")
    ] = None,
    overwrite: o.OverwriteOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a stopped run from the windows cached beside the --json file.")
    ] = False,
) -> None:
    """Start from simulated results of other tools, read from their files, and score the motion of every stage.

    A tool that sees single frames and one that sees the video; both err by 46 mm. `imported` is the tool's own motion.
    [dim]closemesh benchmark importers --quick[/dim]
    """
    if resume and file is None:
        raise typer.BadParameter("--resume needs the --json file of the run that was stopped")
    with exit_codes(when_stopped="the same command with --resume goes on where it stopped" if file else ""):
        o.check_new_file(file, overwrite or (resume and o.has_windows(file)), data)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_runner import RunOptions
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.importer_benchmark import benchmark_importers
        from closemesh.lab.evaluation.report import report_values

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick, data)
        jobs = jobs or min(os.cpu_count() or 1, _MAX_JOBS)
        options = RunOptions(device, jobs, o.window_folder(file), resume)
        with show_progress() as progress:
            reports = benchmark_importers(windows, config, progress, options)
        o.write_report(file, {variant: report_values(report) for variant, report in reports.items()})
        for variant, report in reports.items():
            results.print(_table(variant, report))


def _table(variant: str, report: BenchmarkReport) -> Table:
    """A row for each metric: the tool's own motion, then each stage, in color where it differs significantly."""
    from closemesh.lab.evaluation.importer_benchmark import import_changes
    from closemesh.lab.evaluation.joint_metrics import METRIC

    changes = import_changes(report)
    columns = {stage: report.summary(stage) for stage in report.stages}
    table = Table(title=f"Started from a {variant} tool, {len(report.windows)} windows", title_style="title")
    for column in ("metric", "unit", *columns):
        table.add_column(column, justify="left" if column in ("metric", "unit") else "right")
    for group, names in _ROWS:
        for name in names:
            cells = [
                _cell(summary.get(group, {}).get(name), changes.get(stage, {}).get(group, {}).get(name), METRIC[name])
                for stage, summary in columns.items()
            ]
            table.add_row(name if group == "all" else f"{name}, {group}", METRIC[name].unit, *cells)
    table.caption = "± is half of the 95 % interval over windows; colors mark significant differences from `imported`"
    return table


def _cell(value: Any, change: Any, metric: Any) -> str:
    if value is None:
        return ""
    text = f"{value.mean:.1f}"
    if change is not None and change.significant:
        better = (change.new < change.old) == (metric.better == "lower")
        text = f"[{'good' if better else 'bad'}]{text}[/]"
    return text if value.low is None else f"{text} [quiet]±{(value.high - value.low) / 2:.1f}[/quiet]"
