"""`closemesh benchmark descriptions`: the effect of true and false statements about the people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.report import Difference
    from closemesh.lab.evaluation.text_benchmark import DescriptionsReport, Row


_FURTHER = (("all", "MPJPE"), ("contact", "Pair-PA-MPJPE"), ("all", "jitter"))
"""Groups and metrics in the table beside those with a target."""


_CHANNELS = {
    "both": "statements and alignment",
    "statements": "statements only",
    "alignment": "alignment only",
}
"""Words of the option -> channels of the benchmark, whose module is slow to import."""


def _channels(text: str) -> Any:
    """Channels of a list such as `both,alignment`. Raises BadParameter."""
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if word not in _CHANNELS]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is none of {', '.join(_CHANNELS)}")
    return tuple(_CHANNELS[word] for word in words)


def _percentages(text: str) -> Any:
    """Percentages of a list such as `0,20,40`. Raises BadParameter."""
    percentages = tuple(int(part) if part.strip().isdecimal() else -1 for part in text.split(","))
    if not all(0 <= percent <= 100 for percent in percentages):
        raise typer.BadParameter(f"'{text}' is no list of percentages such as 0,20,40")
    return percentages


@o.config_options("--preset", "--seed")
def descriptions(
    config: Config,
    quick: o.QuickOption = False,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    corrupt: Annotated[
        Any | None,
        typer.Option(
            metavar="A,B,...", parser=_percentages, help="Percentages of false statements.", show_default="0,20,40"
        ),
    ] = None,
    channels: Annotated[
        Any | None,
        typer.Option(
            metavar="A,B,...", parser=_channels, help="How text acts: both, statements, alignment.", show_default="all"
        ),
    ] = None,
    last: Annotated[
        Literal["refined", "optimised"], typer.Option("--through", help="The motion up to which stages run.")
    ] = "optimised",
    device: o.DeviceOption = None,
    jobs: o.JobsOption = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the results here; finished windows are cached beside it.")
    ] = None,
    overwrite: o.OverwriteOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a stopped run from the windows cached beside the --json file.")
    ] = False,
) -> None:
    """Measure the effect of statements about the benchmark's windows, some of them false.

    Statements act one by one, as a whole in the space of texts and poses, or in both ways.
    Each motion is compared with the same motion without statements.
    [dim]closemesh benchmark descriptions --quick --channels both --corrupt 0,40 --json descriptions.json[/dim]
    """
    if resume and file is None:
        raise typer.BadParameter("--resume needs the --json file of the run that was stopped")
    with exit_codes(when_stopped="the same command with --resume goes on where it stopped" if file else ""):
        o.check_new_file(file, overwrite or (resume and o.has_windows(file)))
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_runner import RunOptions
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.text_benchmark import FALSE_PERCENTAGES, as_json, measure_descriptions, rows_of

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        cache = o.window_folder(file)
        options = RunOptions(device, o.count_jobs(jobs), cache, resume)
        with show_progress() as progress:
            rows = rows_of(corrupt or FALSE_PERCENTAGES, channels or tuple(_CHANNELS.values()))
            report = measure_descriptions(windows, config, rows, last, progress, options)
        o.write_report(file, as_json(report))
        for stage in report.reports[0].stages:
            results.print(_table(report, stage))


def _table(report: DescriptionsReport, stage: str) -> Table:
    """One table row for each row of the benchmark: its values, and their difference from those without text."""
    from closemesh.lab.evaluation.joint_metrics import METRIC
    from closemesh.lab.evaluation.text_benchmark import TARGETS

    windows = report.reports[0].windows
    title = f"{stage}: {len(windows)} windows; in brackets the 95 % interval of the change"
    table = Table(title=title, title_style="title")
    table.add_column("text")
    for group, metric in (*TARGETS, *_FURTHER):
        where = "" if group == "all" else f", {group}"
        table.add_column(f"{metric}{where}, {METRIC[metric].unit}", justify="right")
    for row, changes in zip(report.rows, report.changes, strict=True):
        cells = [_cell(row, changes[stage].get(group, {}).get(metric), (group, metric)) for group, metric in TARGETS]
        cells += [_cell(row, changes[stage].get(group, {}).get(metric)) for group, metric in _FURTHER]
        table.add_row(row.name, *cells)
    return table


def _cell(row: Row, change: Difference | None, target: tuple[str, str] | None = None) -> str:
    """The value and its change. Where there is a target: with the target, and MPJPE in percent of the old value."""
    from closemesh.lab.evaluation.text_benchmark import ALL_CHANNELS, TARGETS

    if change is None:
        return ""
    if not row.channels:
        return f"{change.new:.1f}"
    percent = target is not None and target[1] == "MPJPE"
    scale, unit = (100 / change.old, " %") if percent else (1.0, "")
    cell = f"{change.new:.1f} {scale * (change.new - change.old):+.1f}{unit}"
    if target and change.low is not None and change.high is not None:
        cell += f" ({scale * change.low:+.1f} .. {scale * change.high:+.1f})"
    if target and row.channels == ALL_CHANNELS and row.false in TARGETS[target]:
        cell += f" [quiet]target {TARGETS[target][row.false]:+.0f}{unit}[/quiet]"
    return cell
