"""`closemesh benchmark synthetic`, `ablation`, `hidden`, `importers`: simulated scenes, and the effect of each part."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.ablation import Ablation
    from closemesh.lab.evaluation.hidden_benchmark import HiddenError
    from closemesh.lab.evaluation.report import BenchmarkReport


FocalOption = Annotated[
    Literal["estimated", "known"],
    typer.Option(help="Estimate the focal length, as for any clip, or give the true one, as in the papers."),
]


class Source(str, Enum):
    """Input of the pipeline."""

    keypoints = "keypoints"
    pixels = "pixels"


@o.config_options("--preset", "--seed")
def synthetic(
    config: Config,
    source: Annotated[
        Source, typer.Option("--from", help="Simulated detections, or a rendered video.")
    ] = Source.keypoints,
    focal: FocalOption = "estimated",
    quick: o.QuickOption = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder with captured motion; adds recordings of two people in its test split.")
    ] = None,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    device: o.DeviceOption = None,
    jobs: o.JobsOption = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the report here; finished windows are cached beside it.")
    ] = None,
    overwrite: o.OverwriteOption = False,
    compare: Annotated[
        Path | None, typer.Option(help="A report of another run: print the differences and their significance.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a stopped run from the windows cached beside the --json file.")
    ] = False,
) -> None:
    """Simulate cameras and detections of captured motion, reconstruct it, and score the motion of every stage.

    The pipeline estimates the focal length, unless --focal known gives the true one.
    [dim]closemesh benchmark synthetic --quick[/dim]
    [dim]closemesh benchmark synthetic --json new.json --compare old.json[/dim]
    """
    if resume and file is None:
        raise typer.BadParameter("--resume needs the --json file of the run that was stopped")
    with exit_codes(when_stopped="the same command with --resume goes on where it stopped" if file else ""):
        o.check_new_file(file, overwrite or (resume and o.has_windows(file)))
        from closemesh.cli.benchmark_tables import change_tables, report_tables
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_runner import RunOptions, benchmark_synthetic
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.report import differences, read_report, write_report

        old = read_report(compare) if compare else None
        windows = find_windows(data, kinds.split(",") if kinds else (), limit, quick)
        cache = o.window_folder(file)
        jobs = o.count_jobs(jobs)
        options = RunOptions(device, jobs, cache, resume)
        with show_progress() as progress:
            report = benchmark_synthetic(windows, config, source.value, progress, options, focal)
        if file:
            write_report(file, report)
        results.print(report_tables(report))
        if old:
            results.print(change_tables(differences(old, report)))


_METRICS = ("MPJPE", "Inter", "Pair-PA-MPJPE", "A-PD", "contact-F1@50mm", "jitter")


@o.config_options("--preset", "--seed")
def ablation(
    config: Config,
    quick: o.QuickOption = False,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    source: Annotated[
        Literal["keypoints", "pixels"], typer.Option("--from", help="Simulated detections, or a rendered video.")
    ] = "keypoints",
    focal: FocalOption = "estimated",
    device: o.DeviceOption = None,
    jobs: o.JobsOption = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the differences here; finished windows are cached beside it.")
    ] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Run the synthetic benchmark with the whole method, and with one part removed or added.

    From keypoints: the lifting network and the parts of the interaction prior. From pixels: appearance, interaction
    prior and physics, as in CloseApp's Table 3, whose results are printed too.
    A stopped run continues from the windows cached beside the --json file.
    [dim]closemesh benchmark ablation --quick --json ablation.json[/dim]
    [dim]closemesh benchmark ablation --quick --from pixels[/dim]
    """
    with exit_codes(when_stopped="the same command goes on where it stopped" if file else ""):
        o.check_new_file(file, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.ablation import measure_ablation
        from closemesh.lab.evaluation.benchmark_runner import RunOptions
        from closemesh.lab.evaluation.benchmark_scenes import find_windows

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        cache = o.window_folder(file)
        options = RunOptions(device, o.count_jobs(jobs), cache, resume=cache is not None)
        with show_progress() as progress:
            whole, effect = measure_ablation(windows, config, source, progress, options, focal)
        if file:
            plain = _plain(effect)
            with atomic_file(file) as part:
                part.write_text(
                    json.dumps(
                        {"commit": whole.commit, "seed": whole.seed, "focal": focal, "with_minus_without": plain}
                    )
                )
        for stage in whole.stages:
            for group in ("all", "contact"):
                results.print(_table(effect, stage, group, source))


def _plain(effect: Ablation) -> dict[str, object]:
    return {
        part: {
            stage: {
                group: {name: asdict(change) for name, change in metrics.items()} for group, metrics in groups.items()
            }
            for stage, groups in stages.items()
        }
        for part, stages in effect.items()
    }


def _table(effect: Ablation, stage: str, group: str, source: str) -> Table:
    """One row for each part: the change of each metric when the part is added."""
    from closemesh.lab.evaluation.ablation import LIFTER, PAPER
    from closemesh.lab.evaluation.joint_metrics import METRIC

    table = Table(title=f"{stage}, {group}: with minus without", title_style="title")
    table.add_column("part")
    for name in _METRICS:
        table.add_column(f"{name}, {METRIC[name].unit}", justify="right", overflow="fold")
    for part, stages in effect.items():
        if stage == "initial" and part != LIFTER:
            continue  # The other parts act in later stages.
        cells = []
        for name in _METRICS:
            change = stages.get(stage, {}).get(group, {}).get(name)
            if change is None:
                cells.append("")
                continue
            moved = change.new - change.old
            better = (moved < 0) == (METRIC[name].better == "lower")
            style = ("good" if better else "bad") if change.significant else "quiet"
            cells.append(f"[{style}]{moved:+.2f}[/{style}]")
        table.add_row(part, *cells)
        if group == "all" and stage == "optimised" and part in PAPER and source == "pixels":
            paper = [f"{PAPER[part][name]:+.2f}" if name in PAPER[part] else "" for name in _METRICS]
            table.add_row("  in the paper, on Hi4D", *paper, style="quiet")
    return table


@o.config_options("--preset", "--seed")
def hidden(
    config: Config,
    quick: o.QuickOption = False,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Hide one of two people in contact for 8 to 30 frames, and score that person's motion there.

    Without the interaction prior the motion only continues what is seen around the gap; with it, it is generated from
    the other person.
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
        results.print(_hidden_table(errors, config.seed))


def _hidden_table(errors: list[HiddenError], seed: int) -> Table:
    from closemesh.lab.evaluation.hidden_benchmark import METRICS, summary

    windows = len({one.name for one in errors})
    table = Table(title=f"Hidden people in {windows} windows, mm; in brackets the 95 % interval", title_style="title")
    for column in ("frames hidden", "motion"):
        table.add_column(column)
    for metric in METRICS:
        table.add_column(f"{metric}, alone", justify="right")
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


_ROWS = (
    ("all", ("MPJPE", "PA-MPJPE", "Inter", "root-depth", "jitter")),
    ("occluded", ("MPJPE",)),
    ("contact", ("MPJPE", "Pair-PA-MPJPE", "contact-F1@50mm")),
)


@o.config_options("--preset", "--seed")
def importers(
    config: Config,
    quick: o.QuickOption = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of motion files, each a window, instead of the bundled ones.")
    ] = None,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    device: o.DeviceOption = None,
    jobs: o.JobsOption = None,
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
        jobs = o.count_jobs(jobs)
        options = RunOptions(device, jobs, o.window_folder(file), resume)
        with show_progress() as progress:
            reports = benchmark_importers(windows, config, progress, options)
        o.write_report(file, {variant: report_values(report) for variant, report in reports.items()})
        for variant, report in reports.items():
            results.print(_import_table(variant, report))


def _import_table(variant: str, report: BenchmarkReport) -> Table:
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
                _import_cell(
                    summary.get(group, {}).get(name), changes.get(stage, {}).get(group, {}).get(name), METRIC[name]
                )
                for stage, summary in columns.items()
            ]
            table.add_row(name if group == "all" else f"{name}, {group}", METRIC[name].unit, *cells)
    table.caption = "± is half of the 95 % interval over windows; colors mark significant differences from `imported`"
    return table


def _import_cell(value: Any, change: Any, metric: Any) -> str:
    if value is None:
        return ""
    text = f"{value.mean:.1f}"
    if change is not None and change.significant:
        better = (change.new < change.old) == (metric.better == "lower")
        text = f"[{'good' if better else 'bad'}]{text}[/]"
    return text if value.low is None else f"{text} [quiet]±{(value.high - value.low) / 2:.1f}[/quiet]"
