"""`closemesh benchmark descriptions`: what it is worth to be told how people hold themselves, truly and falsely."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.lab.evaluation.report import Difference
    from closemesh.lab.evaluation.text_benchmark import DescriptionsReport, Row


_SHOWN = (("all", "MPJPE"), ("contact", "Pair-PA-MPJPE"), ("all", "jitter"))
"""Beside what is aimed at."""


def _shares(text: str) -> Any:
    """`0,20,40`."""
    shares = tuple(int(part) if part.strip().isdecimal() else -1 for part in text.split(","))
    if not all(0 <= share <= 100 for share in shares):
        raise typer.BadParameter(f"'{text}' is no list of percentages such as 0,20,40")
    return shares


def descriptions(
    quick: Annotated[bool, typer.Option("--quick", help="A few windows, always the same.")] = False,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many windows.")] = None,
    corrupt: Annotated[
        Any | None,
        typer.Option(
            metavar="A,B,...", parser=_shares, help="Percent of the statements made false.", show_default="0,20,40"
        ),
    ] = None,
    last: Annotated[
        Literal["refined", "optimised"], typer.Option("--through", help="The last stage that is run.")
    ] = "refined",
    preset: o.PresetOption = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Windows at a time.", show_default="one a core")] = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here; finished windows are kept beside it.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped, kept beside the --json file.")
    ] = False,
) -> None:
    """Tell the refinement what is true of the benchmark's windows, with a share of it made false, and score it.

    All that is heeded; statement by statement alone; by the space of texts and poses alone.
    [dim]closemesh benchmark descriptions --quick --corrupt 0,40 --json told.json[/dim]
    """
    if resume and file is None:
        raise typer.BadParameter("--resume needs the --json file of the run that was stopped")
    with exit_codes(when_stopped="the same command with --resume goes on where it stopped" if file else ""):
        from closemesh.cli.console import show_progress
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.text_benchmark import SHARES, as_json, measure_descriptions

        config = o.build_config(None, preset, {"seed": seed})
        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        cache = file.with_suffix(".windows") if file else None
        with show_progress() as progress:
            running = progress, device, jobs or os.cpu_count() or 1, cache, resume
            report = measure_descriptions(windows, config, corrupt or SHARES, last, *running)
        if file:
            with atomic_file(file) as part:
                part.write_text(json.dumps(as_json(report), indent=1))
        for stage in report.reports[0].stages:
            results.print(_table(report, stage))


def _table(report: DescriptionsReport, stage: str) -> Table:
    """One row for each way of being told: the figures, and how they differ from those of nothing told."""
    from closemesh.lab.evaluation.joint_metrics import METRIC
    from closemesh.lab.evaluation.text_benchmark import AIMS

    windows = report.reports[0].windows
    title = f"{stage}: {len(windows)} windows; in brackets the 95 % interval of the change"
    table = Table(title=title, title_style="title")
    table.add_column("what is told")
    for group, metric in (*AIMS, *_SHOWN):
        where = "" if group == "all" else f", {group}"
        table.add_column(f"{metric}{where}, {METRIC[metric].unit}", justify="right")
    for row, changes in zip(report.rows, report.changes, strict=True):
        cells = [_cell(row, changes[stage].get(group, {}).get(metric), (group, metric)) for group, metric in AIMS]
        cells += [_cell(row, changes[stage].get(group, {}).get(metric)) for group, metric in _SHOWN]
        table.add_row(row.name, *cells)
    return table


def _cell(row: Row, change: Difference | None, aimed: tuple[str, str] | None = None) -> str:
    """The figure and what changed; where something is aimed at, MPJPE in percent of what it was, and the aim."""
    from closemesh.lab.evaluation.text_benchmark import AIMS, ALL_HEEDED

    if change is None:
        return ""
    if not row.heeded:
        return f"{change.new:.1f}"
    percent = aimed is not None and aimed[1] == "MPJPE"
    scale, unit = (100 / change.old, " %") if percent else (1.0, "")
    told = f"{change.new:.1f} {scale * (change.new - change.old):+.1f}{unit}"
    if aimed and change.low is not None and change.high is not None:
        told += f" ({scale * change.low:+.1f} .. {scale * change.high:+.1f})"
    if aimed and row.heeded == ALL_HEEDED and row.false in AIMS[aimed]:
        told += f" [quiet]aim {AIMS[aimed][row.false]:+.0f}{unit}[/quiet]"
    return told
