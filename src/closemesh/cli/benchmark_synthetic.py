"""`closemesh benchmark synthetic`: how well the pipeline does on scenes whose truth is known."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

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
        from closemesh.cli.progress import show_progress
        from closemesh.evaluation.benchmark_report import differences, read_report, write_report
        from closemesh.evaluation.benchmark_windows import find_windows
        from closemesh.evaluation.synthetic import benchmark_synthetic

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
