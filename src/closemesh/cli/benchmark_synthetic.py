"""Synthetic, ablation.

`closemesh benchmark synthetic`: how well the pipeline does on scenes whose truth is known.

`closemesh benchmark ablation`: what each part of the method is worth.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.lab.evaluation.ablation import Ablation


_MOST_JOBS = 8  # Each is a process with the networks in its memory.


class Source(str, Enum):
    """What the pipeline sees."""

    keypoints = "keypoints"
    pixels = "pixels"


def synthetic(
    source: Annotated[
        Source, typer.Option("--from", help="Simulated detections, or a rendered film through the detector.")
    ] = Source.keypoints,
    quick: Annotated[bool, typer.Option("--quick", help="A few windows, always the same.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder with captured motion: its held-out trials of two people are added.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many windows.")] = None,
    preset: o.PresetOption = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Windows at a time.", show_default="one a core, 8 at most")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the report here; results of windows are kept beside it.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A report of another run: tell what changed, and whether it is chance.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped, kept beside the --json file.")
    ] = False,
) -> None:
    """Film held-out motion with made-up cameras, reconstruct it, and score every stage.

    The pipeline is given the true focal length, as in the papers.
    [dim]closemesh benchmark synthetic --quick[/dim]
    [dim]closemesh benchmark synthetic --json new.json --compare old.json[/dim]
    """
    if resume and file is None:
        raise typer.BadParameter("--resume needs the --json file of the run that was stopped")
    with exit_codes(when_stopped="the same command with --resume goes on where it stopped" if file else ""):
        from closemesh.cli.benchmark_tables import change_tables, report_tables
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_runner import benchmark_synthetic
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.report import differences, read_report, write_report

        old = read_report(compare) if compare else None
        config = o.build_config(None, preset, {"seed": seed})
        windows = find_windows(data, kinds.split(",") if kinds else (), limit, quick)
        cache = file.with_suffix(".windows") if file else None
        jobs = jobs or min(os.cpu_count() or 1, _MOST_JOBS)
        with show_progress() as progress:
            report = benchmark_synthetic(windows, config, source.value, progress, device, jobs, cache, resume)
        if file:
            write_report(file, report)
        results.print(report_tables(report))
        if old:
            results.print(change_tables(differences(old, report)))


_METRICS = ("MPJPE", "Inter", "Pair-PA-MPJPE", "A-PD", "contact-F1@50mm", "jitter")


def ablation(
    quick: Annotated[bool, typer.Option("--quick", help="A few windows, always the same.")] = False,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many windows.")] = None,
    source: Annotated[
        Literal["keypoints", "pixels"], typer.Option("--from", help="What the pipeline gets to see.")
    ] = "keypoints",
    preset: o.PresetOption = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Windows at a time.", show_default="one a core")] = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="Write the differences here; finished windows are kept beside it.")
    ] = None,
) -> None:
    """Run the synthetic benchmark as it is, and without one part of the method.

    From keypoints the learned first pose and the parts of the interaction prior; from pixels everybody's look, the
    prior and physics, as in CloseApp's Table 3, whose figures are printed beside.
    A stopped run goes on from the windows that are kept beside the --json file.
    [dim]closemesh benchmark ablation --quick --json ablation.json[/dim]
    [dim]closemesh benchmark ablation --quick --from pixels[/dim]
    """
    with exit_codes(when_stopped="the same command goes on where it stopped" if file else ""):
        from closemesh.cli.console import show_progress
        from closemesh.core.files import atomic_file
        from closemesh.lab.evaluation.ablation import measure_ablation
        from closemesh.lab.evaluation.benchmark_scenes import find_windows

        config = o.build_config(None, preset, {"seed": seed})
        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        cache = file.with_suffix(".windows") if file else None
        with show_progress() as progress:
            running = progress, device, jobs or os.cpu_count() or 1, cache
            whole, worth = measure_ablation(windows, config, source, *running)
        if file:
            plain = _plain(worth)
            with atomic_file(file) as part:
                part.write_text(json.dumps({"commit": whole.commit, "seed": whole.seed, "with_minus_without": plain}))
        for stage in whole.stages:
            for group in ("all", "contact"):
                results.print(_table(worth, stage, group, source))


def _plain(worth: Ablation) -> dict[str, object]:
    return {
        part: {
            stage: {
                group: {name: asdict(change) for name, change in figures.items()} for group, figures in groups.items()
            }
            for stage, groups in stages.items()
        }
        for part, stages in worth.items()
    }


def _table(worth: Ablation, stage: str, group: str, source: str) -> Table:
    """One row for each part: by how much the figure changes when the part is there."""
    from closemesh.lab.evaluation.ablation import FIRST_POSE, PAPER
    from closemesh.lab.evaluation.joint_metrics import METRIC

    table = Table(title=f"{stage}, {group}: with minus without", title_style="title")
    table.add_column("part")
    for name in _METRICS:
        table.add_column(f"{name}, {METRIC[name].unit}", justify="right", overflow="fold")
    for part, stages in worth.items():
        if stage == "initial" and part != FIRST_POSE:
            continue  # The prior comes later.
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
