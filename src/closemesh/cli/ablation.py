"""`closemesh benchmark ablation`: what each part of the method is worth."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.evaluation.ablation import Ablation

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
        from closemesh.cli.progress import show_progress
        from closemesh.evaluation.ablation import measure_ablation
        from closemesh.evaluation.benchmark_windows import find_windows
        from closemesh.files import replacing

        config = o.build_config(None, preset, {"seed": seed})
        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        cache = file.with_suffix(".windows") if file else None
        with show_progress() as progress:
            running = progress, device, jobs or os.cpu_count() or 1, cache
            whole, worth = measure_ablation(windows, config, source, *running)
        if file:
            plain = _plain(worth)
            with replacing(file) as part:
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
    from closemesh.evaluation.ablation import FIRST_POSE, PAPER
    from closemesh.evaluation.names import METRIC

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
