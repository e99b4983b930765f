"""The commands `reconstruct`, a clip of the user, and `demo`, the bundled one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import FAILED, HOW_TO_RESUME, error_text, exit_codes, print_line, results
from closemesh.config.schema import Config


@o.config_options(file=True)
def reconstruct(
    clip: o.ClipArg,
    out: o.OutOption,
    config: Config,
    photos: o.PhotosOption = False,
    device: o.DeviceOption = None,
    resume: o.ResumeOption = True,
) -> None:
    """Reconstruct people in close contact from a video or photos: SMPL-X motion, meshes and contacts.

    [dim]closemesh reconstruct dance.mp4 -o out[/dim]
    [dim]closemesh reconstruct dance.mp4 -o out --preset best --people 2 --start 3 --end 8[/dim]
    [dim]closemesh reconstruct holidays/ --photos -o out[/dim]
    """
    run = _run_photos if photos else _run
    with exit_codes(when_stopped=HOW_TO_RESUME):
        run(clip, out, config, device, resume)


@o.config_options("--preset", "--no-report")
def demo(
    config: Config,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("closemesh-demo"),
    hug: Annotated[
        bool, typer.Option("--hug", help="A rendered clip of an embrace instead; its errors are measured.")
    ] = False,
    device: o.DeviceOption = None,
    resume: o.ResumeOption = True,
) -> None:
    """Reconstruct the bundled clip of two people.

    [dim]closemesh demo --hug -o hug[/dim]  also compares the result with the true motion
    """
    with exit_codes(when_stopped=HOW_TO_RESUME):
        from closemesh.weights.locate import find_model
        from closemesh.weights.registry import DEMO_CLIP, HUG_CLIP

        _run(find_model(HUG_CLIP if hug else DEMO_CLIP), out, config, device, resume)
        if hug:
            _compare_with_truth(out, find_model(HUG_CLIP), config.output.report)


def _run(clip: Path, out: Path, config: Config, device: str | None, resume: bool) -> None:
    """Reconstruct with a progress display, then print the summary."""
    from closemesh.cli.console import show_progress, summary
    from closemesh.output.result_json import read_scene
    from closemesh.pipeline.reconstruct import reconstruct as reconstruct_clip

    with show_progress() as progress:
        reconstruct_clip(clip, out, config, device, progress, resume)
    results.print(summary(read_scene(out / "scene.json"), out))


def _compare_with_truth(out: Path, clip: Path, report: bool) -> None:
    """Print the errors of the result in `out` against the true motion of the bundled embrace; its report shows both."""
    from closemesh.cli.console import show_progress
    from closemesh.lab.evaluation.demo_truth import score_demo, truth_of_result
    from closemesh.report.write import write_folder_report

    with show_progress() as progress:
        scores = score_demo(out, progress)
        truth = truth_of_result(out)
        if report and truth is not None:
            write_folder_report(out, clip, truth, progress)
    table = Table(title="Result against the true motion", title_style="title", title_justify="left")
    for column, justify in (("metric", "left"), ("mean", "right"), ("unit", "left"), ("better", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for metric, value in scores.items():
        table.add_row(metric.name, f"{value:.1f}", metric.unit, metric.better)
    results.print(table)
    truth = clip.with_suffix(".BodyMotion.npz")
    results.print(f"clip {clip}, true motion {truth}", markup=False, soft_wrap=True)


def _run_photos(path: Path, out: Path, config: Config, device: str | None, resume: bool) -> None:
    """Reconstruct each photo, then print a table, and a line for each that failed."""
    from closemesh.cli.console import photo_summary, show_progress
    from closemesh.output.result_json import read_scene
    from closemesh.pipeline.reconstruct import reconstruct_photos

    with show_progress() as progress:
        photos = reconstruct_photos(path, out, config, device, progress, resume)
    scenes = {one.photo.name: None if one.error else read_scene(one.out / "scene.json") for one in photos}
    results.print(photo_summary(scenes, out))
    failed = [(one.photo.name, error_text(one.error)) for one in photos if one.error]
    for name, error in failed:
        print_line(f"error: {error}" if name in error else f"error: {name}: {error}", "bad")
    if failed:
        raise typer.Exit(FAILED)
