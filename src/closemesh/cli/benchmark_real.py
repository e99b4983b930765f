"""`closemesh benchmark real`: clips and photos of the user, scored against facts seen by eye."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.real_benchmark import Change, RealReport
    from closemesh.lab.evaluation.real_scores import ClipScores, RealMetric


@o.config_options("--preset", "--seed", file=True)
def real(
    folder: Annotated[Path, typer.Argument(help="Folder with clips and photos.", show_default=False)],
    config: Config,
    facts: Annotated[
        Path | None, typer.Option(help="Folder with NAME.facts.json.", show_default="the same folder")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Write the result of each clip to WORK/NAME, or continue it.", show_default="a temporary one"
        ),
    ] = None,
    finished: Annotated[
        Path | None, typer.Option("--results", help="Score the finished results in RESULTS/NAME; run nothing.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these clips.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips.")] = None,
    known_focal: Annotated[
        bool, typer.Option("--known-focal", help="Give the pipeline the focal length of the facts.")
    ] = False,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file too.")] = None,
    compare: Annotated[Path | None, typer.Option(help="A file of another run: print the differences.")] = None,
) -> None:
    """Reconstruct real clips and photos and score them against facts that were seen by eye.

    Facts stand in NAME.facts.json beside NAME.mp4: who is where, which parts touch in which frames, marked joints.
    The focal length is estimated, as for any clip.
    [dim]closemesh benchmark real clips --work out --json new.json --compare old.json[/dim]
    [dim]closemesh benchmark real clips --results out[/dim]
    """
    if work is not None and finished is not None:
        raise typer.BadParameter("--results runs nothing, so it takes no --work")
    with exit_codes(when_stopped="the same command continues where it stopped" if work else ""):
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.real_benchmark import (
            RealOptions,
            benchmark_real,
            find_clips,
            read_real_report,
            real_changes,
            write_real_report,
        )

        old = read_real_report(compare) if compare else None
        options = RealOptions(device, work, finished, known_focal)
        with show_progress() as progress:
            items = find_clips(folder, facts, only.split(",") if only else (), limit, progress)
            report = benchmark_real(items, config, options, progress)
        if file:
            write_real_report(file, report)
        results.print(real_tables(report))
        if old:
            results.print(real_change_tables(real_changes(old, report)))


def real_tables(report: RealReport) -> RenderableType:
    """A table of scores and one of facts for each clip, then residuals by joint and the means over clips."""
    tables = [table for clip in report.clips for table in _clip_tables(clip)]
    with_motion = [clip for clip in report.clips if clip.residuals]
    if with_motion:
        tables.append(_residual_table(with_motion))
    if len(report.clips) > 1:
        tables.append(_summary_table(report))
    return Group(*tables, _footer(report))


def real_change_tables(changes: list[Change]) -> RenderableType:
    """A table with all clips for each stage, and one with the means."""
    from closemesh.lab.evaluation.real_benchmark import STAGES, mean_changes
    from closemesh.lab.evaluation.real_scores import REAL_METRIC

    tables = []
    for stage in (stage for stage in STAGES if any(change.stage == stage for change in changes)):
        table = _change_table(f"Change: {stage}", "clip")
        for one in (change for change in changes if change.stage == stage and change.old != change.new):
            table.add_row(one.clip, *_change_cells(REAL_METRIC[one.metric], one.old, one.new), "")
        for mean in (mean for mean in mean_changes(changes) if mean.stage == stage):
            cells = _change_cells(REAL_METRIC[mean.metric], mean.old, mean.new)
            plural = "s" if mean.clips > 1 else ""
            table.add_row(f"mean of {mean.clips} clip{plural}", *cells, f"±{mean.deviation:.2f}", style="bold")
        tables.append(table)
    note = "± is the standard deviation of the change over clips; rows of clips without a change are left out"
    return Group(*tables, note)


def _clip_tables(clip: ClipScores) -> list[RenderableType]:
    if clip.failure is not None:
        return [f"[bad]{clip.name}: {clip.failure}[/bad]"]
    stages = list(clip.values)
    missing = [name for name, track in clip.people.items() if track is None]
    table = _stage_table(clip.name, stages)
    _add_metrics(
        table, stages, {stage: {n: _number(v) for n, v in some.items()} for stage, some in clip.values.items()}
    )
    lines = f"frames: {clip.frames}; tracks: {clip.tracks}"
    lines += f"; not found: {', '.join(missing)}" if missing else ""
    lines += f"; focal length {clip.focal_px:.0f} px" if clip.focal_px else ""
    lines += f"; bodies compared with {clip.reference}" if clip.reference else ""
    tables: list[RenderableType] = [table, lines]
    if clip.facts:
        facts = Table(title=f"{clip.name}: percent of frames in which facts hold", title_style="title")
        facts.add_column("fact", overflow="fold")
        facts.add_column("frames", no_wrap=True)
        motions = stages[1:]
        for motion in motions:
            facts.add_column(motion, justify="right")
        for one in clip.facts:
            cells = (f"{one.percent[motion]:.0f}" if motion in one.percent else "" for motion in motions)
            facts.add_row(one.what, "{}-{}".format(*one.frames), *cells)
        tables.append(facts)
    return tables


def _residual_table(clips: list[ClipScores]) -> Table:
    """Residuals of the last motion of each clip by joint; left and right beside each other."""
    columns = {clip.name: next(reversed(list(clip.residuals.values()))) for clip in clips}
    table = Table(title="Median residuals of the last motion in sigmas, left / right", title_style="title")
    table.add_column("joint")
    for name in columns:
        table.add_column(name, justify="right")
    joints = dict.fromkeys(joint for residuals in columns.values() for joint in residuals)
    for joint in dict.fromkeys(joint.removeprefix("left_").removeprefix("right_") for joint in joints):
        sides = [joint] if joint in joints else [f"left_{joint}", f"right_{joint}"]
        cells = []
        for residuals in columns.values():
            values = (residuals.get(side) for side in sides)
            cells.append(" / ".join("-" if value is None else f"{value:.2f}" for value in values))
        table.add_row(joint, *cells)
    return table


def _summary_table(report: RealReport) -> Table:
    from closemesh.lab.evaluation.real_benchmark import STAGES
    from closemesh.lab.evaluation.real_scores import REAL_METRICS

    stages = [stage for stage in STAGES if any(stage in clip.values for clip in report.clips)]
    table = _stage_table("Real clips: mean ± standard deviation over clips", stages)
    cells: dict[str, dict[str, str]] = {}
    for stage in stages:
        found = {metric.name: report.values(stage, metric.name) for metric in REAL_METRICS}
        cells[stage] = {name: _mean(some) for name, some in found.items() if some}
    _add_metrics(table, stages, cells)
    return table


def _stage_table(title: str, stages: list[str]) -> Table:
    table = Table(title=title, title_style="title")
    table.add_column("metric", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for stage in stages:
        table.add_column(stage, justify="right")
    return table


def _add_metrics(table: Table, stages: list[str], cells: dict[str, dict[str, str]]) -> None:
    from closemesh.lab.evaluation.real_scores import REAL_METRICS

    arrow = {"lower": "↓", "higher": "↑", "one": "→ 1"}
    for metric in REAL_METRICS:
        if any(metric.name in some for some in cells.values()):
            row = (cells.get(stage, {}).get(metric.name, "") for stage in stages)
            table.add_row(f"{metric.name} {arrow[metric.better]}", metric.unit, *row)


def _change_table(title: str, first: str) -> Table:
    table = Table(title=title, title_style="title")
    for column in (first, "metric", "unit", "before", "now", "difference", "", "over clips"):
        table.add_column(column, justify="left" if column in (first, "metric", "unit", "") else "right")
    return table


def _change_cells(metric: RealMetric, old: float, new: float) -> list[str]:
    verdict = ""
    if old != new:
        better = _badness(metric, new) < _badness(metric, old)
        verdict = "[good]better[/good]" if better else "[bad]worse[/bad]"
    return [metric.name, metric.unit, f"{old:.2f}", f"{new:.2f}", f"{new - old:+.2f}", verdict]


def _badness(metric: RealMetric, value: float) -> float:
    if metric.better == "one":
        return abs(math.log(max(value, 1e-9)))
    return value if metric.better == "lower" else -value


def _mean(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return f"{_number(mean)} [quiet]±{_number(deviation)}[/quiet]"


def _number(value: float) -> str:
    return f"{value:.{2 if abs(value) < 10 else 1}f}"


def _footer(report: RealReport) -> str:
    focal = {"estimated": "the focal length was estimated", "known": "the focal length was given where facts have it"}
    made = focal.get(report.focal, "finished results were scored")
    preset = f"preset {report.preset}, seed {report.seed}; " if report.preset else ""
    failed = sum(clip.failure is not None for clip in report.clips)
    return f"clips: {len(report.clips)}, without a result: {failed}; {preset}{made}"
