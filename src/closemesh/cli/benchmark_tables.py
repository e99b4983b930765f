"""Tables of the synthetic benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

if TYPE_CHECKING:
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
