"""Tables of the benchmarks on simulated and on real clips."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from closemesh.lab.evaluation.real_benchmark import Change, RealReport
    from closemesh.lab.evaluation.real_scores import ClipScores, RealMetric
    from closemesh.lab.evaluation.report import BenchmarkReport, Difference, Interval


_KINDS = (
    "MPJPE",
    "PA-MPJPE",
    "Pair-PA-MPJPE",
    "Inter",
    "A-PD",
    "depth-max",
    "contact-F1@50mm",
    "PCC@10cm",
    "root-depth",
)
"""Metrics in the table of kinds."""


def report_tables(report: BenchmarkReport) -> RenderableType:
    """A table for each group with a column for each motion, then the last motion by kind of window."""
    from closemesh.lab.evaluation.report import TRUTH

    columns = {stage: report.summary(stage) for stage in (*report.stages, TRUTH)}
    groups = [group for group in ("all", "occluded", "contact") if any(group in c for c in columns.values())]
    tables = [
        _group_table(group, report.focal, {stage: c.get(group, {}) for stage, c in columns.items()}) for group in groups
    ]
    kinds = sorted({window.kind for window in report.windows})
    if report.stages and len(kinds) > 1:
        last = columns[report.stages[-1]]
        tables.append(_kind_table(report.stages[-1], {kind: last[kind] for kind in kinds if kind in last}))
    return Group(*tables, _footer(report))


def change_tables(changes: dict[str, dict[str, dict[str, Difference]]]) -> RenderableType:
    """A table for each motion with the differences over all windows; significant ones are in color."""
    return Group(*(_change_table(stage, groups["all"]) for stage, groups in changes.items() if "all" in groups))


def _group_table(group: str, focal: str, columns: dict[str, dict[str, Interval]]) -> Table:
    from closemesh.lab.evaluation.joint_metrics import METRICS

    table = Table(title=f"Synthetic benchmark, {focal} focal length: {group}", title_style="title")
    table.add_column("metric", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for stage in columns:
        table.add_column(stage, justify="right")
    for metric in METRICS:
        if any(metric.name in metrics for metrics in columns.values()):
            cells = (_cell(metrics.get(metric.name)) for metrics in columns.values())
            table.add_row(f"{metric.name} {'↓' if metric.better == 'lower' else '↑'}", metric.unit, *cells)
    return table


def _kind_table(stage: str, kinds: dict[str, dict[str, Interval]]) -> Table:
    table = Table(title=f"{stage}, by kind", title_style="title")
    table.add_column("kind")
    for name in _KINDS:
        table.add_column(name, justify="right", overflow="fold")
    for kind, metrics in kinds.items():
        table.add_row(kind, *(f"{metrics[name].mean:.1f}" if name in metrics else "" for name in _KINDS))
    return table


def _change_table(stage: str, metrics: dict[str, Difference]) -> Table:
    from closemesh.lab.evaluation.joint_metrics import METRIC

    table = Table(title=f"Change: {stage}", title_style="title")
    for column in ("metric", "unit", "before", "now", "difference", "95 %", ""):
        table.add_column(column, justify="left" if column in ("metric", "unit", "") else "right")
    for name, change in metrics.items():
        better = (change.new < change.old) == (METRIC[name].better == "lower")
        verdict = ("[good]better[/good]" if better else "[bad]worse[/bad]") if change.significant else ""
        span = "" if change.low is None else f"{change.low:+.2f} .. {change.high:+.2f}"
        moved = f"{change.new - change.old:+.2f}"
        table.add_row(name, METRIC[name].unit, f"{change.old:.2f}", f"{change.new:.2f}", moved, span, verdict)
    return table


def _cell(value: Interval | None) -> str:
    if value is None:
        return ""
    digits = 2 if abs(value.mean) < 10 else 1
    if value.low is None or value.high is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} [quiet]±{(value.high - value.low) / 2:.{digits}f}[/quiet]"


def _footer(report: BenchmarkReport) -> str:
    frames = sum(window.frames for window in report.windows)
    return (
        f"{len(report.windows)} windows, {frames} frames, from {report.source}, seed {report.seed}; "
        f"{report.found} of {report.expected} people in the image, counted frame by frame, were detected; "
        f"{_focal(report)}; ± is half of the 95 % interval over windows"
    )


def _focal(report: BenchmarkReport) -> str:
    if report.focal == "known":
        return "the focal length was given"
    error = "" if report.focal_error is None else f" with a median error of {report.focal_error:.0f} %"
    return f"the focal length was estimated{error}"


def real_tables(report: RealReport) -> RenderableType:
    """A table of scores and one of facts for each clip, then residuals by joint and the means over clips."""
    tables = [table for clip in report.clips for table in _clip_tables(clip)]
    with_motion = [clip for clip in report.clips if clip.residuals]
    if with_motion:
        tables.append(_residual_table(with_motion))
    if len(report.clips) > 1:
        tables.append(_summary_table(report))
    return Group(*tables, _real_footer(report))


def real_change_tables(changes: list[Change]) -> RenderableType:
    """A table with all clips for each stage, and one with the means."""
    from closemesh.lab.evaluation.real_benchmark import STAGES, mean_changes
    from closemesh.lab.evaluation.real_scores import REAL_METRIC

    tables = []
    for stage in (stage for stage in STAGES if any(change.stage == stage for change in changes)):
        table = _real_change_table(f"Change: {stage}", "clip")
        for one in (change for change in changes if change.stage == stage and change.old != change.new):
            table.add_row(one.clip, *_change_cells(REAL_METRIC[one.metric], one.old, one.new), "")
        for mean in (mean for mean in mean_changes(changes) if mean.stage == stage):
            cells = _change_cells(REAL_METRIC[mean.metric], mean.old, mean.new, mean.significant)
            plural = "s" if mean.clips > 1 else ""
            table.add_row(f"mean of {mean.clips} clip{plural}", *cells, f"±{mean.deviation:.2f}", style="bold")
        tables.append(table)
    note = (
        "± is the standard deviation of the change over clips; means get a verdict beyond two standard errors; "
        "rows of clips without a change are left out"
    )
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


def _real_change_table(title: str, first: str) -> Table:
    table = Table(title=title, title_style="title")
    for column in (first, "metric", "unit", "before", "now", "difference", "", "over clips"):
        table.add_column(column, justify="left" if column in (first, "metric", "unit", "") else "right")
    return table


def _change_cells(metric: RealMetric, old: float, new: float, significant: bool = True) -> list[str]:
    verdict = ""
    if significant and f"{old:.2f}" != f"{new:.2f}":
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


def _real_footer(report: RealReport) -> str:
    focal = {"estimated": "the focal length was estimated", "known": "the focal length was given where facts have it"}
    made = focal.get(report.focal, "finished results were scored")
    preset = f"preset {report.preset}, seed {report.seed}; " if report.preset else ""
    failed = sum(clip.failure is not None for clip in report.clips)
    return f"clips: {len(report.clips)}, without a result: {failed}; {preset}{made}"
